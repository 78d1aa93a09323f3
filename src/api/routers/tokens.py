"""Tokens for programs, and the list of all that an account has open."""

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.bodies.receive import received
from api.bodies.token_fields import TOKEN_FIELDS, lifetime_of, name_of, required_text, scope_of
from api.caller import Parts, SignedIn, Writer
from api.documented import either, errors
from api.json_response import AsciiJsonResponse
from api.refusals import ScopeRequiredError, TokenNotFoundError
from api.request_id import over_http
from api.services import Services
from identity.credentials import Credential, Issued, Principal, Scope

router = APIRouter(tags=["sign-in"])


class TokenBody(BaseModel):
    """A session or a token that still works; `id` ends it, and opens nothing."""

    id: str
    kind: str = Field(description="browser or api")
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    current: bool = Field(description="whether this request was made with it")


class TokensBody(BaseModel):
    """All of them, newest first."""

    items: list[TokenBody]


class IssuedBody(BaseModel):
    """A new token, which is shown this once."""

    id: str
    token: str
    name: str
    scope: str
    expires_at: datetime | None


class EndedBody(BaseModel):
    """How many were ended."""

    message: str
    ended: int


@router.post(
    "/auth/tokens",
    status_code=201,
    response_model=IssuedBody,
    responses=errors(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=either(["name"], {}, **TOKEN_FIELDS),
)
async def issue_token(request: Request, principal: Writer, parts: Parts) -> Response:
    """Create a token for a program; it has no more scope than the token that creates it, and expires after 30 days or as requested."""
    async with received(request, parts.staging, {}) as body:
        required_text(body, "name")
        name, scope, expires_in = name_of(body, ""), scope_of(body), lifetime_of(body)
    if not (principal.admin if scope is Scope.ADMIN else principal.may(scope)):
        raise ScopeRequiredError(scope)

    def issue() -> Issued:
        return parts.access.issue(principal, name=name, scope=scope, expires_in=expires_in, by=over_http)

    issued = await run_in_threadpool(issue)
    answer = IssuedBody(
        id=issued.id,
        token=issued.token.get_secret_value(),
        name=name,
        scope=scope.value,
        expires_at=issued.expires_at,
    )
    return AsciiJsonResponse(answer.model_dump(mode="json"), status_code=201)


@router.get("/auth/tokens", response_model=TokensBody, responses=errors(401, 503))
def list_tokens(principal: SignedIn, parts: Parts) -> Response:
    """List the account's valid sessions and tokens."""
    items = [_row(each, principal) for each in parts.credentials.issued_to(principal.did)]
    return AsciiJsonResponse(TokensBody(items=items).model_dump(mode="json"))


@router.delete("/auth/tokens", response_model=EndedBody, responses=errors(401, 403, 503))
def end_others(principal: Writer, parts: Parts) -> Response:
    """Revoke all except the one used for this request: for when one may have been stolen."""
    body = EndedBody(message="ended", ended=parts.access.end_others(principal, by=over_http))
    return AsciiJsonResponse(body.model_dump(mode="json"))


@router.delete("/auth/tokens/{token_id}", responses=errors(401, 403, 404, 503))
def end_token(token_id: str, principal: Writer, parts: Parts) -> Response:
    """Revoke one at once; pending writes to the PDS are still delivered."""
    _end(parts, principal.did, token_id)
    return AsciiJsonResponse({"message": "ended"})


def _end(parts: Services, did: str, token_id: str) -> None:
    if "\0" in token_id or not parts.access.end(did, token_id, by=over_http):
        raise TokenNotFoundError


def _row(credential: Credential, principal: Principal) -> TokenBody:
    names = set(TokenBody.model_fields) - {"current"}
    fields = {name: getattr(credential, name) for name in names}
    return TokenBody(**fields, current=credential.id == principal.credential_id)
