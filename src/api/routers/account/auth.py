"""Sign-in and sign-out in a browser, API tokens, and the list of an account's sessions and tokens."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import (
    ServicesDep,
    SignedIn,
    Writer,
    browser_sessions,
    counted,
    put_active_first,
    refuse_cross_site,
    set_session,
    token_of,
    usable_principal,
    writer,
)
from api.error_responses import body_of
from api.errors import NotSignedInHereError, ScopeRequiredError, TokenNotFoundError, TokenShownOnceError
from api.json_response import AsciiJsonResponse, MessageBody, body_from, response_of, result_of
from api.middleware.http_layer import over_http
from api.openapi import operation
from api.pipeline.concurrency import sign_in_under_way
from api.pipeline.idempotent_request import Idempotent
from api.requests.body import fields_as, received_body
from api.requests.fields import Filled, SignInFields, TokenFields
from api.requests.parameters import StrictRoute
from api.services import Services
from application.subjects import require_staying
from eventstore.idempotency import CommandResult
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import CredentialKind, Issued, Principal

app_password = APIRouter(
    tags=["sign-in"], route_class=StrictRoute, dependencies=[Depends(counted), Depends(sign_in_under_way)]
)
router = APIRouter(tags=["sign-in"], route_class=StrictRoute, dependencies=[Depends(counted)])


class SeatFields(BaseModel):
    did: Filled = Field(description="of an account that this browser is signed in with")


class SignOutFields(BaseModel):
    did: str | None = Field(None, description="of an account that this browser is signed in with")


class SeatBody(BaseModel):
    """An account that this browser is signed in with."""

    did: str
    handle: str


class AccountsBody(BaseModel):
    """All of them, the one in use first."""

    items: list[SeatBody]


class SignedInBody(BaseModel):
    """The token, which is shown this once, and whose it is."""

    token: str
    did: str
    handle: str
    scope: str
    expires_in: int | None


@app_password.post("/auth/app-password", **operation(SignInFields, SignedInBody, (400, 401, 403, 413, 415)))
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Sign in with an app password; the response also sets the cookie."""
    refuse_cross_site(request, services)
    assert services.sign_in is not None  # noqa: S101 - the route is there only with it
    async with received_body(request, services, {}) as body:
        wanted = fields_as(SignInFields, body)
        signed_in = await services.sign_in(
            wanted.identifier,
            wanted.password,
            name=wanted.name,
            scope=wanted.scope,
            expires_in=wanted.expires_in,
            by=over_http,
        )
    account, lasts = signed_in.account, signed_in.expires_in
    answer = body_from(
        SignedInBody,
        account,
        token=signed_in.token.get_secret_value(),
        scope=wanted.scope,
        expires_in=int(lasts.total_seconds()) if lasts is not None else None,
    )
    response = AsciiJsonResponse(answer)
    tokens = await run_in_threadpool(put_active_first, request, services, signed_in.token, account.did)
    set_session(response, services, tokens)
    return response


@router.post("/auth/logout", **operation(SignOutFields, MessageBody, (400, 403, 413, 415)))
async def log_out(request: Request, services: ServicesDep) -> Response:
    """End this browser's sessions, or only that of `did`; pending writes to the PDS are still delivered."""
    refuse_cross_site(request, services)
    async with received_body(request, services, {}) as body:
        did = fields_as(SignOutFields, body).did
    left = await run_in_threadpool(_end, request, services, did)
    response = AsciiJsonResponse(MessageBody(message="signed out"))
    set_session(response, services, left)
    return response


@router.get("/auth/accounts", response_model=AccountsBody)
def read_accounts(request: Request, services: ServicesDep) -> Response:
    """List the accounts that this browser is signed in with, the active one first."""
    return AsciiJsonResponse(_accounts(browser_sessions(request, services)))


@router.post("/auth/switch", **operation(SeatFields, AccountsBody, (400, 403, 404, 413, 415)))
async def switch(request: Request, services: ServicesDep) -> Response:
    """Switch to another account that this browser is signed in with."""
    refuse_cross_site(request, services)
    async with received_body(request, services, {}) as body:
        did = fields_as(SeatFields, body).did
    here = await run_in_threadpool(browser_sessions, request, services)
    ordered = sorted(here, key=lambda each: each[1].did != did)
    if not ordered or ordered[0][1].did != did:
        raise NotSignedInHereError
    response = AsciiJsonResponse(_accounts(ordered))
    set_session(response, services, [token for token, _ in ordered])
    return response


def _accounts(here: Iterable[tuple[SecretStr, Principal]]) -> AccountsBody:
    return AccountsBody(items=[body_from(SeatBody, who) for _, who in here])


def _end(request: Request, services: Services, did: str | None) -> list[SecretStr]:
    """Revoke browser sessions, and return the tokens of the others. API tokens are revoked under /auth/tokens."""
    sent, here = token_of(request), browser_sessions(request, services)
    if sent is not None and (who := usable_principal(services, sent)) is not None:
        here = [(sent, who), *(each for each in here if each[0] != sent)]
    staying = [token for token, who in here if did not in {None, who.did}]
    for token, who in here:
        if token not in staying and who.kind is CredentialKind.BROWSER:
            services.access.end(who.did, who.credential_id, by=over_http)
    return staying


tokens = APIRouter(tags=["sign-in"], route_class=StrictRoute)

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


@tokens.post("/auth/tokens", status_code=201, **operation(TokenFields, IssuedBody, ()))
async def issue_token(principal: Issuer, services: ServicesDep, request: Idempotent) -> Response:
    """Create a token for a program; it has no more scope than the token that creates it (an operator's session in a browser makes some of scope `operator` or `read`), and expires after 30 days or as requested. One that a token makes ends with that token.

    It is shown this once: the same Idempotency-Key again is 409 and names it, so that it can be ended.
    """
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            wanted = fields_as(TokenFields, attempt.body)
            if not principal.may(wanted.scope):
                raise ScopeRequiredError(wanted.scope)

            def keep(unit: UnitOfWork, issued: Issued) -> None:
                require_staying(unit)
                attempt.keep_in(unit, CommandResult(409, body_of(TokenShownOnceError(issued.id)), {}))

            how: dict[str, Any] = {"name": wanted.name, "scope": wanted.scope}
            issue = partial(services.access.issue, principal, **how, expires_in=wanted.expires_in)
            issued = await attempt.run(issue, by=over_http, also=keep)
            token = body_from(IssuedBody, issued, token=issued.token.get_secret_value(), **how)
            await attempt.finish(result_of(token, 201))
    return response_of(attempt.result)


@tokens.get("/auth/tokens")
def list_tokens(principal: SignedIn, services: ServicesDep) -> TokensBody:
    """List the account's valid sessions and tokens."""
    items = [token_row(each, principal) for each in services.credentials.issued_to(principal.did)]
    return TokensBody(items=items)


@tokens.delete("/auth/tokens", response_model=EndedBody)
async def end_others(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Revoke all except the one used for this request: for when one may have been stolen."""
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            ended = await attempt.run(services.access.end_others, principal, by=over_http)
            await attempt.finish(result_of(EndedBody(message="ended", ended=ended)))
    return response_of(attempt.result)


@tokens.delete("/auth/tokens/{token_id}", response_model=MessageBody)
async def end_token(
    token_id: TokenId, principal: Writer, services: ServicesDep, request: Idempotent
) -> Response:
    """Revoke one at once, and the tokens made with it; pending writes to the PDS are still delivered."""
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            if "\0" in token_id or not await attempt.run(
                services.access.end, principal.did, token_id, by=over_http
            ):
                raise TokenNotFoundError
            await attempt.finish(result_of(MessageBody(message="ended")))
    return response_of(attempt.result)


def token_row(credential: Any, principal: Principal) -> TokenBody:
    return body_from(TokenBody, credential, current=credential.id == principal.credential_id)
