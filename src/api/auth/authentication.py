"""Authenticates callers: a bearer token or the session cookie, which has tokens of several accounts, becomes a principal."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Final, Literal

from fastapi import Depends, Request, Response
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from api.errors import CrossSiteError, ScopeRequiredError
from api.middleware.http_layer import over_http, way_in
from api.middleware.rate_limits import IPV6_SITE_BITS, address_of
from api.middleware.request_threads import read_in_turn
from api.openapi import refuses
from api.services import Services
from application.errors import LeavingError, NotAuthenticatedError
from eventstore.change import Via
from eventstore.errors import CommitFailedError
from identity.accounts.accounts import AccountState
from identity.accounts.credentials import Principal, Scope
from identity.errors import CredentialExpiredError

COOKIE: Final = "mastertape_session"
BETWEEN: Final = "."
"""No token contains it."""
MAX_ACCOUNTS: Final = 5
SESSION_COOKIE_TTL: Final = timedelta(days=30)


def cookie_tokens(request: Request) -> list[SecretStr]:
    services: Services = request.app.state.services
    held = request.cookies.get(session_cookie(services), "").split(BETWEEN)
    return [SecretStr(token) for token in held[:MAX_ACCOUNTS] if token]


def browser_sessions(request: Request, services: Services) -> list[tuple[SecretStr, Principal]]:
    """Return the accounts that this browser is signed in with, the active one first, without ended sessions."""
    found = ((token, usable_principal(services, token)) for token in cookie_tokens(request))
    return [(token, principal) for token, principal in found if principal is not None]


def usable_principal(services: Services, token: SecretStr) -> Principal | None:
    try:
        return services.credentials.authenticate(token)
    except CredentialExpiredError:
        return None


def put_active_first(
    request: Request, services: Services, token: SecretStr, did: str, *, ends_older: bool = False
) -> list[SecretStr]:
    """Return the tokens with a new session first, then other accounts' sessions up to the cookie's limit.

    Sessions that the cookie drops are revoked only with `ends_older`: a token that was shown may be in use elsewhere.
    """
    here = browser_sessions(request, services)
    staying = [each for each, who in here if who.did != did][: MAX_ACCOUNTS - 1]
    for each, who in here:
        if ends_older and each not in staying:
            services.access.end(who.did, who.credential_id, by=over_http)
    return [token, *staying]


def set_session(response: Response, services: Services, tokens: Sequence[SecretStr]) -> None:
    value = BETWEEN.join(token.get_secret_value() for token in tokens)
    keep_cookie(response, services, session_cookie(services), value, SESSION_COOKIE_TTL)


def keep_cookie(
    response: Response,
    services: Services,
    name: str,
    value: str,
    ttl: timedelta,
    *,
    path: str = "/",
    samesite: Literal["lax", "strict"] = "lax",
) -> None:
    """Set a cookie that no script reads; without a value, delete it."""
    response.set_cookie(
        name,
        value,
        max_age=int(ttl.total_seconds()) if value else 0,
        path=path,
        secure=is_https(services),
        httponly=True,
        samesite=samesite,
    )


def session_cookie(services: Services) -> str:
    """Return the cookie's name; over https, with a prefix that keeps other hosts of the domain and plain http from setting it."""
    return f"__Host-{COOKIE}" if is_https(services) else COOKIE


def is_https(services: Services) -> bool:
    return services.base_url.startswith("https:")


BEARER: Final = "bearer "
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_SITE: Final = frozenset({"same-origin", "none"})


async def services_of(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services_of)]


def bearer_of(request: Request) -> SecretStr | None:
    header = request.headers.get("authorization", "")
    if header[: len(BEARER)].lower() != BEARER:
        return None
    return SecretStr(header[len(BEARER) :].strip())


def token_of(request: Request) -> SecretStr | None:
    """Return the bearer token, else the session cookie's: a browser adds the cookie by itself."""
    bearer = bearer_of(request)
    return bearer if bearer is not None else next(iter(cookie_tokens(request)), None)


def refuse_cross_site(request: Request, services: Services) -> None:
    """Raise CrossSiteError for a request that another site's page makes a browser send; programs send neither header."""
    origin = request.headers.get("origin")
    if origin is not None:
        if origin not in {services.base_url, *services.cors_origins}:
            raise CrossSiteError
    elif request.headers.get("sec-fetch-site", "none") not in SAME_SITE:
        raise CrossSiteError


def count(request: Request, services: Services, did: str | None = None) -> None:
    """Count a request of this account, or of the caller's address; raises RateLimitedError. It reads in that caller's turn."""
    read_in_turn(request.app.state.read_turns, did or address_of(request, IPV6_SITE_BITS))
    if services.rate_limits is not None:
        services.rate_limits.take(request, did)


@refuses(429, 503)
async def counted(request: Request, services: ServicesDep) -> None:
    """Count a request of a caller who is not signed in yet."""
    count(request, services)


@refuses(429, 503)
async def authenticated(
    request: Request, services: ServicesDep
) -> Principal | NotAuthenticatedError | CredentialExpiredError:
    """Return the caller, or why there is none, and count the request, once for all that depends on it; raises CrossSiteError."""
    token = token_of(request)
    try:
        principal = await run_in_threadpool(services.credentials.authenticate, token) if token else None
    except CredentialExpiredError as error:
        count(request, services)
        return error
    if principal is None:
        count(request, services)
        return NotAuthenticatedError()
    return _admitted(request, services, principal)


def _admitted(request: Request, services: Services, principal: Principal) -> Principal:
    count(request, services, principal.did)
    if bearer_of(request) is not None:
        way_in.set(Via.TOKEN.named(principal.name))
    elif request.method not in SAFE:
        refuse_cross_site(request, services)
    return principal


Authenticated = Annotated[Principal | NotAuthenticatedError | CredentialExpiredError, Depends(authenticated)]


@refuses(401)
async def signed_in(found: Authenticated) -> Principal:
    """Return the authenticated caller; raises NotAuthenticatedError or CredentialExpiredError."""
    if isinstance(found, Principal):
        return found
    raise found


SignedIn = Annotated[Principal, Depends(signed_in)]


async def optional_caller(found: Authenticated) -> Principal | None:
    return found if isinstance(found, Principal) else None


OptionalCaller = Annotated[Principal | None, Depends(optional_caller)]


def having(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """Return the dependency on a caller whose account and credential permit the scope; it raises ScopeRequiredError."""

    @refuses(403)
    async def caller(principal: SignedIn) -> Principal:
        if not principal.may(scope):
            raise ScopeRequiredError(scope)
        return principal

    return caller


writer: Final = having(Scope.WRITE)
operator: Final = having(Scope.OPERATOR)
Writer = Annotated[Principal, Depends(writer)]
OperatorDep = Annotated[Principal, Depends(operator)]


async def admin(principal: Annotated[Principal, Depends(having(Scope.ADMIN))]) -> Principal:
    way_in.set(Via.OPERATOR.value)  # the account that is acted on is not shown the operator's tokens
    return principal


Admin = Annotated[Principal, Depends(admin)]


async def remembered_writer(request: Request, services: Services) -> Principal:
    """Do what `writer` does, and ask the database only for a token that was not authenticated lately.

    For what proves in its unit of work that the token is usable, before it answers anything.
    """
    token = token_of(request)
    is_small = not request.headers.get("content-type", "").lower().startswith("multipart/")
    if token is not None and is_small and "idempotency-key" not in request.headers:
        principal = services.credentials.remembered(token)
        if principal is not None:
            request.state.is_remembered = True
            return await writer(_admitted(request, services, principal))
    return await writer(await signed_in(await authenticated(request, services)))


async def refuse_ended(request: Request, services: Services, *, allow_leaving: bool) -> None:
    """Raise NotAuthenticatedError or CredentialExpiredError if the token of a remembered caller has ended; LeavingError if its account has asked to leave, unless that is allowed."""
    if getattr(request.state, "is_remembered", False):
        token = token_of(request)
        principal = await run_in_threadpool(services.credentials.authenticate, token) if token else None
        if principal is None:
            raise NotAuthenticatedError
        if principal.state is AccountState.LEAVING and not allow_leaving:
            raise LeavingError


@asynccontextmanager
async def refused_if_ended(
    request: Request, services: Services, *, allow_leaving: bool
) -> AsyncGenerator[None]:
    """Do what `refuse_ended` does before the block refuses anything."""
    try:
        yield
    except CommitFailedError:
        raise
    except Exception:
        await refuse_ended(request, services, allow_leaving=allow_leaving)
        raise
