"""The session cookie: the tokens of the accounts that one browser is signed in with, the one in use first."""

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
"""No token holds it."""
MOST_ACCOUNTS: Final = 5
LASTS: Final = timedelta(days=30)

Seat = tuple[SecretStr, Principal]


def cookie_tokens(request: Request) -> list[SecretStr]:
    """Read the tokens of the cookie."""
    services: Services = request.app.state.services
    held = request.cookies.get(session_cookie(services), "").split(BETWEEN)
    return [SecretStr(token) for token in held[:MOST_ACCOUNTS] if token]


def seats(request: Request, services: Services) -> list[Seat]:
    """Return the accounts signed in in this browser, the active one first; ended sessions are left out."""
    found = ((token, authenticated(services, token)) for token in cookie_tokens(request))
    return [(token, principal) for token, principal in found if principal is not None]


def authenticated(services: Services, token: SecretStr) -> Principal | None:
    """Return the account that a token belongs to, if it is still valid."""
    try:
        return services.credentials.authenticate(token)
    except CredentialExpiredError:
        return None


def seat_first(
    request: Request, services: Services, token: SecretStr, did: str, *, ends_older: bool = False
) -> list[SecretStr]:
    """Put a new session before those of other accounts, up to the most that a cookie holds.

    The ones that have no place any more may be in use elsewhere, if the token was shown to somebody.
    """
    here = seats(request, services)
    staying = [each for each, who in here if who.did != did][: MOST_ACCOUNTS - 1]
    for each, who in here:
        if ends_older and each not in staying:
            services.access.end(who.did, who.credential_id, by=over_http)
    return [token, *staying]


def set_session(response: Response, services: Services, tokens: Sequence[SecretStr]) -> None:
    """Write the cookie; without tokens it goes."""
    if not tokens:
        response.delete_cookie(
            session_cookie(services), path="/", secure=is_https(services), httponly=True, samesite="lax"
        )
        return
    response.set_cookie(
        session_cookie(services),
        BETWEEN.join(token.get_secret_value() for token in tokens),
        max_age=int(LASTS.total_seconds()),
        path="/",
        secure=is_https(services),
        httponly=True,
        samesite="lax",
    )


def session_cookie(services: Services) -> str:
    """Name the cookie: over https so that no other host of the domain, and nobody over http, can set it."""
    return f"__Host-{COOKIE}" if is_https(services) else COOKIE


def is_https(services: Services) -> bool:
    """Whether cookies go over https only."""
    return services.base_url.startswith("https:")
