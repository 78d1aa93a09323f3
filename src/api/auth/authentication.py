"""Who is asking: the session cookie or a bearer token becomes a principal, or nobody."""

from typing import Annotated, Final

from fastapi import Depends, Request
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from api.auth.session_cookie import cookie_tokens
from api.errors import CrossSiteError, ScopeRequiredError
from api.services import Services
from application.errors import NotAuthenticatedError
from identity.accounts.credentials import Principal, Scope
from identity.errors import CredentialExpiredError

BEARER: Final = "bearer "
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_SITE: Final = frozenset({"same-origin", "none"})


def services_of(request: Request) -> Services:
    """Return the services that this app was created with."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services_of)]


def bearer_of(request: Request) -> SecretStr | None:
    """Read the token that was sent on purpose."""
    header = request.headers.get("authorization", "")
    if header[: len(BEARER)].lower() != BEARER:
        return None
    return SecretStr(header[len(BEARER) :].strip())


def token_of(request: Request) -> SecretStr | None:
    """Read the token: one sent on purpose goes before one that a browser adds by itself."""
    bearer = bearer_of(request)
    return bearer if bearer is not None else next(iter(cookie_tokens(request)), None)


def refuse_cross_site(request: Request, services: Services) -> None:
    """Refuse what another site's page makes a browser send; programs send neither header."""
    origin = request.headers.get("origin")
    if origin is not None:
        if origin not in {services.base_url, *services.cors_origins}:
            raise CrossSiteError
    elif request.headers.get("sec-fetch-site", "none") not in SAME_SITE:
        raise CrossSiteError


def count(request: Request, services: Services, did: str | None = None) -> None:
    """Count a request of this account, or of who is unknown; raises RateLimitedError."""
    if services.rate_limits is not None:
        services.rate_limits.take(request, did)


async def counted(request: Request, services: ServicesDep) -> None:
    """Count a request of somebody who has yet to sign in."""
    count(request, services)


async def signed_in(request: Request, services: ServicesDep) -> Principal:
    """Require somebody."""
    token = token_of(request)
    try:
        principal = await run_in_threadpool(services.credentials.authenticate, token) if token else None
    except CredentialExpiredError:
        count(request, services)
        raise
    count(request, services, principal.did if principal is not None else None)
    if principal is None:
        raise NotAuthenticatedError
    if request.method not in SAFE and bearer_of(request) is None:
        refuse_cross_site(request, services)
    return principal


SignedIn = Annotated[Principal, Depends(signed_in)]


async def anybody(request: Request, services: ServicesDep) -> Principal | None:
    """Take somebody or nobody; who is no longer signed in is nobody."""
    try:
        return await signed_in(request, services)
    except (NotAuthenticatedError, CredentialExpiredError):
        return None


Anybody = Annotated[Principal | None, Depends(anybody)]


async def writer(principal: SignedIn) -> Principal:
    """Require somebody whose token may change things."""
    if not principal.may(Scope.WRITE):
        raise ScopeRequiredError(Scope.WRITE)
    return principal


Writer = Annotated[Principal, Depends(writer)]


async def admin(principal: SignedIn) -> Principal:
    """Require one of ADMIN_DIDS, with a token for it."""
    if not principal.admin:
        raise ScopeRequiredError(Scope.ADMIN)
    return principal


Admin = Annotated[Principal, Depends(admin)]
