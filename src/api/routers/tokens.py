"""API tokens, and the list of an account's sessions and tokens."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from api.auth.authentication import ServicesDep, SignedIn, Writer, writer
from api.error_responses import body_of
from api.errors import ScopeRequiredError, TokenNotFoundError, TokenShownOnceError
from api.json_response import MessageBody, body_from, response_of
from api.middleware.request_id import over_http
from api.openapi import either, errors, repeatable_errors
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.account_fields import TOKEN_FIELDS, lifetime_of, name_of, required_text, scope_of
from api.requests.known_names import StrictRoute
from api.services import Services
from application.authorization import require_staying
from eventstore.idempotency.results import CommandResult
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Credential, CredentialKind, Issued, Principal, Scope

router = APIRouter(tags=["sign-in"], route_class=StrictRoute)

TokenId = Annotated[str, Path(description="the `id` of a session or a token")]


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


async def issuer(principal: SignedIn) -> Principal:
    """Return the caller if it may create tokens: with scope write, or an operator in a browser; raises ScopeRequiredError."""
    if principal.operator and principal.kind is CredentialKind.BROWSER:
        return principal
    return await writer(principal)


Issuer = Annotated[Principal, Depends(issuer)]


@router.post(
    "/auth/tokens",
    status_code=201,
    response_model=IssuedBody,
    responses=repeatable_errors(),
    openapi_extra=either(["name"], {}, **TOKEN_FIELDS),
)
async def issue_token(principal: Issuer, services: ServicesDep, request: Idempotent) -> Response:
    """Create a token for a program; it has no more scope than the token that creates it (an operator's session in a browser makes some of scope `operator` or `read`), and expires after 30 days or as requested. One that a token makes ends with that token.

    It is shown this once: the same Idempotency-Key again is 409 and names it, so that it can be ended.
    """
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            body = attempt.body
            required_text(body, "name")
            name, scope, expires_in = name_of(body, ""), scope_of(body), lifetime_of(body)
            if not principal.may(scope):
                raise ScopeRequiredError(scope)

            def keep(unit: UnitOfWork, issued: Issued) -> None:
                require_staying(unit)
                attempt.keep_in(unit, CommandResult(409, body_of(TokenShownOnceError(issued.id)), {}))

            issue = partial(services.access.issue, principal, name=name, scope=scope, expires_in=expires_in)
            issued = await attempt.run(issue, by=over_http, also=keep)
            await attempt.finish(result_of(_issued(issued, name, scope), 201))
    return response_of(attempt.result)


@router.get("/auth/tokens", responses=errors(401, 503))
def list_tokens(principal: SignedIn, services: ServicesDep) -> TokensBody:
    """List the account's valid sessions and tokens."""
    items = [token_row(each, principal) for each in services.credentials.issued_to(principal.did)]
    return TokensBody(items=items)


@router.delete("/auth/tokens", response_model=EndedBody, responses=repeatable_errors())
async def end_others(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Revoke all except the one used for this request: for when one may have been stolen."""
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            ended = await attempt.run(services.access.end_others, principal, by=over_http)
            await attempt.finish(result_of(EndedBody(message="ended", ended=ended)))
    return response_of(attempt.result)


@router.delete("/auth/tokens/{token_id}", response_model=MessageBody, responses=repeatable_errors(404))
async def end_token(
    token_id: TokenId, principal: Writer, services: ServicesDep, request: Idempotent
) -> Response:
    """Revoke one at once, and the tokens made with it; pending writes to the PDS are still delivered."""
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await attempt.run(_end, services, principal.did, token_id)
            await attempt.finish(result_of(MessageBody(message="ended")))
    return response_of(attempt.result)


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


def token_row(credential: Credential, principal: Principal) -> TokenBody:
    return body_from(TokenBody, credential, current=credential.id == principal.credential_id)
