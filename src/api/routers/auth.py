"""Sign-in and sign-out in a browser."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, SecretStr
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, counted, refuse_cross_site, token_of
from api.auth.session_cookie import authenticated, browser_sessions, put_active_first, set_session
from api.errors import NotSignedInHereError
from api.json_response import AsciiJsonResponse, MessageBody
from api.middleware.request_id import over_http
from api.openapi import TEXT, either, errors
from api.pipeline.concurrency import sign_in_under_way
from api.requests.account_fields import TOKEN_FIELDS, lifetime_of, name_of, required_text, scope_of
from api.requests.known_names import StrictRoute
from api.requests.parse import received_body
from api.services import Services
from identity.accounts.credentials import CredentialKind, Scope
from identity.accounts.sign_in import USUAL_NAME, SignInResult

app_password = APIRouter(
    tags=["sign-in"], route_class=StrictRoute, dependencies=[Depends(counted), Depends(sign_in_under_way)]
)
router = APIRouter(tags=["sign-in"], route_class=StrictRoute, dependencies=[Depends(counted)])

FIELDS: Final[dict[str, Any]] = {
    "identifier": {**TEXT, "description": "a handle or a DID"},
    "password": {**TEXT, "description": "an app password"},
    **TOKEN_FIELDS,
}
ONE_DID: Final = {**TEXT, "description": "of an account that this browser is signed in with"}


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


@app_password.post(
    "/auth/app-password",
    response_model=SignedInBody,
    responses=errors(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=either(["identifier", "password"], {}, **FIELDS),
)
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Sign in with an app password; the response also sets the cookie."""
    refuse_cross_site(request, services)
    assert services.sign_in is not None  # noqa: S101 - the route is there only with it
    async with received_body(request, services, {}) as body:
        scope = scope_of(body)
        signed_in = await services.sign_in.sign_in(
            required_text(body, "identifier"),
            SecretStr(required_text(body, "password")),
            name=name_of(body, USUAL_NAME),
            scope=scope,
            expires_in=lifetime_of(body),
            by=over_http,
        )
    response = AsciiJsonResponse(_signed_in(signed_in, scope))
    account = signed_in.account
    tokens = await run_in_threadpool(put_active_first, request, services, signed_in.token, account.did)
    set_session(response, services, tokens)
    return response


@router.post(
    "/auth/logout",
    response_model=MessageBody,
    responses=errors(400, 403, 413, 415, 422, 503),
    openapi_extra=either([], {}, did=ONE_DID),
)
async def log_out(request: Request, services: ServicesDep) -> Response:
    """End this browser's sessions, or only that of `did`; pending writes to the PDS are still delivered."""
    refuse_cross_site(request, services)
    async with received_body(request, services, {}) as body:
        did = body.text("did")
    left = await run_in_threadpool(_end, request, services, did)
    response = AsciiJsonResponse(MessageBody(message="signed out"))
    set_session(response, services, left)
    return response


@router.get("/auth/accounts", response_model=AccountsBody, responses=errors(503))
def read_accounts(request: Request, services: ServicesDep) -> Response:
    """List the accounts that this browser is signed in with, the active one first."""
    body = AccountsBody(
        items=[SeatBody(did=who.did, handle=who.handle) for _, who in browser_sessions(request, services)]
    )
    return AsciiJsonResponse(body)


@router.post(
    "/auth/switch",
    response_model=AccountsBody,
    responses=errors(400, 403, 404, 413, 415, 422, 503),
    openapi_extra=either(["did"], {}, did=ONE_DID),
)
async def switch(request: Request, services: ServicesDep) -> Response:
    """Switch to another account that this browser is signed in with."""
    refuse_cross_site(request, services)
    async with received_body(request, services, {}) as body:
        did = required_text(body, "did")
    here = await run_in_threadpool(browser_sessions, request, services)
    ordered = sorted(here, key=lambda each: each[1].did != did)
    if not ordered or ordered[0][1].did != did:
        raise NotSignedInHereError
    answer = AccountsBody(items=[SeatBody(did=who.did, handle=who.handle) for _, who in ordered])
    response = AsciiJsonResponse(answer)
    set_session(response, services, [token for token, _ in ordered])
    return response


def _end(request: Request, services: Services, did: str | None) -> list[SecretStr]:
    """Revoke browser sessions, and return the tokens of the others. API tokens are revoked under /auth/tokens."""
    sent, here = token_of(request), browser_sessions(request, services)
    if sent is not None and (who := authenticated(services, sent)) is not None:
        here = [(sent, who), *(each for each in here if each[0] != sent)]
    staying = [token for token, who in here if did not in {None, who.did}]
    for token, who in here:
        if token not in staying and who.kind is CredentialKind.BROWSER:
            services.access.end(who.did, who.credential_id, by=over_http)
    return staying


def _signed_in(signed_in: SignInResult, scope: Scope) -> SignedInBody:
    account, lasts = signed_in.account, signed_in.expires_in
    return SignedInBody(
        token=signed_in.token.get_secret_value(),
        did=account.did,
        handle=account.handle,
        scope=scope.value,
        expires_in=int(lasts.total_seconds()) if lasts is not None else None,
    )
