"""The session cookie: tokens of the accounts that a browser is signed in with, the active one first."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from fastapi import Request, Response
from pydantic import SecretStr

from api.middleware.request_id import over_http
from api.services import Services
from identity.accounts.credentials import Principal
from identity.errors import CredentialExpiredError

COOKIE: Final = "mastertape_session"
BETWEEN: Final = "."
"""No token contains it."""
MAX_ACCOUNTS: Final = 5
SESSION_COOKIE_TTL: Final = timedelta(days=30)

BrowserSession = tuple[SecretStr, Principal]


def cookie_tokens(request: Request) -> list[SecretStr]:
    services: Services = request.app.state.services
    held = request.cookies.get(session_cookie(services), "").split(BETWEEN)
    return [SecretStr(token) for token in held[:MAX_ACCOUNTS] if token]


def browser_sessions(request: Request, services: Services) -> list[BrowserSession]:
    """Return the accounts that this browser is signed in with, the active one first, without ended sessions."""
    found = ((token, authenticated(services, token)) for token in cookie_tokens(request))
    return [(token, principal) for token, principal in found if principal is not None]


def authenticated(services: Services, token: SecretStr) -> Principal | None:
    """Return the principal of a token, or None if it has ended."""
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
    """Set the cookie; without tokens, delete it."""
    if not tokens:
        response.delete_cookie(
            session_cookie(services), path="/", secure=is_https(services), httponly=True, samesite="lax"
        )
        return
    response.set_cookie(
        session_cookie(services),
        BETWEEN.join(token.get_secret_value() for token in tokens),
        max_age=int(SESSION_COOKIE_TTL.total_seconds()),
        path="/",
        secure=is_https(services),
        httponly=True,
        samesite="lax",
    )


def session_cookie(services: Services) -> str:
    """Return the cookie's name; over https, with a prefix that keeps other hosts of the domain and plain http from setting it."""
    return f"__Host-{COOKIE}" if is_https(services) else COOKIE


def is_https(services: Services) -> bool:
    """Whether cookies are sent over https only."""
    return services.base_url.startswith("https:")
