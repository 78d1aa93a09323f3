"""What operators see of an account's login at its PDS: its state and times, and never its tokens."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from eventstore.states import State
from identity.sessions.session_store import OF_ACCOUNT, PdsSessionState


class LoginState(State):
    """States of a login as it is shown; derived, never stored."""

    SIGNED_IN = "signed_in", "signed in"
    EXPIRED = "expired", "expired: it is renewed with the next request"
    ENDED = "ended", "ended: its owner has to sign in again"
    NONE = "none", "none: the account has not signed in here, or has left"


@dataclass(frozen=True)
class Login:
    """An account's login at its PDS; without one, its state alone."""

    state: LoginState
    kind: str | None = None
    changed_at: datetime | None = None
    """When it was renewed, or ended."""
    expires_at: datetime | None = None
    """Of the access token, which is renewed before the next request."""
    problem: str | None = None


def login_of(connection: Connection, did: str, now: datetime) -> Login:
    row = connection.execute(OF_ACCOUNT, {"did": did}).one_or_none()
    if row is None:
        return Login(LoginState.NONE)
    state = LoginState.SIGNED_IN
    if row.status != PdsSessionState.ACTIVE:
        state = LoginState.ENDED
    elif row.access_expires_at is not None and row.access_expires_at <= now:
        state = LoginState.EXPIRED
    return Login(state, row.kind, row.updated_at, row.access_expires_at, row.last_error)
