"""Tokens for programs, and the list of all that an account has open."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.error_responses import body_of
from api.errors import ScopeRequiredError, TokenNotFoundError, TokenShownOnceError
from api.json_response import AsciiJsonResponse
from api.middleware.request_id import over_http
from api.openapi import either, errors, repeatable_errors
from api.pipeline.idempotent_request import Asked, Repeatable, answer_of
from api.requests.token_fields import TOKEN_FIELDS, lifetime_of, name_of, required_text, scope_of
from api.services import Services
from eventstore.idempotency.results import CommandResult
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Credential, Issued, Principal, Scope

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
    responses=repeatable_errors(400),
    openapi_extra=either(["name"], {}, **TOKEN_FIELDS),
)
async def issue_token(principal: Writer, services: ServicesDep, request: Repeatable) -> Response:
    """Create a token for a program; it has no more scope than the token that creates it, and expires after 30 days or as requested.

    It is shown this once: the same Idempotency-Key again is 409 and names it, so that it can be ended.
    """

    async def act(asked: Asked) -> CommandResult:
        required_text(asked.body, "name")
        name, scope, expires_in = name_of(asked.body, ""), scope_of(asked.body), lifetime_of(asked.body)
        if not (principal.admin if scope is Scope.ADMIN else principal.may(scope)):
            raise ScopeRequiredError(scope)

        def keep(unit: UnitOfWork, issued: Issued) -> None:
            asked.keep(unit, CommandResult(409, body_of(TokenShownOnceError(issued.id)), {}))

        def issue() -> Issued:
            return services.access.issue(
                principal, name=name, scope=scope, expires_in=expires_in, by=over_http, also=keep
            )

        issued = await run_in_threadpool(issue)
        return answer_of(_issued(issued, name, scope), 201)

    return await request.perform(act)


@router.get("/auth/tokens", response_model=TokensBody, responses=errors(401, 503))
def list_tokens(principal: SignedIn, services: ServicesDep) -> Response:
    """List the account's valid sessions and tokens."""
    items = [_row(each, principal) for each in services.credentials.issued_to(principal.did)]
    return AsciiJsonResponse(TokensBody(items=items).model_dump(mode="json"))


@router.delete("/auth/tokens", response_model=EndedBody, responses=repeatable_errors())
async def end_others(principal: Writer, services: ServicesDep, request: Repeatable) -> Response:
    """Revoke all except the one used for this request: for when one may have been stolen."""

    def end() -> int:
        return services.access.end_others(principal, by=over_http)

    async def act(_asked: Asked) -> CommandResult:
        return answer_of(EndedBody(message="ended", ended=await run_in_threadpool(end)))

    return await request.perform(act)


@router.delete("/auth/tokens/{token_id}", responses=repeatable_errors(404))
async def end_token(token_id: str, principal: Writer, services: ServicesDep, request: Repeatable) -> Response:
    """Revoke one at once; pending writes to the PDS are still delivered."""

    async def act(_asked: Asked) -> CommandResult:
        await run_in_threadpool(_end, services, principal.did, token_id)
        return CommandResult(200, {"message": "ended"}, {})

    return await request.perform(act)


def _end(services: Services, did: str, token_id: str) -> None:
    if "\0" in token_id or not services.access.end(did, token_id, by=over_http):
        raise TokenNotFoundError


def _issued(issued: Issued, name: str, scope: Scope) -> IssuedBody:
    return IssuedBody(
        id=issued.id,
        token=issued.token.get_secret_value(),
        name=name,
        scope=scope.value,
        expires_at=issued.expires_at,
    )


def _row(credential: Credential, principal: Principal) -> TokenBody:
    names = set(TokenBody.model_fields) - {"current"}
    fields = {name: getattr(credential, name) for name in names}
    return TokenBody(**fields, current=credential.id == principal.credential_id)
