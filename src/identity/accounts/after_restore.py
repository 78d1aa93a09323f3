"""What a restored database believes of logins and tokens: some of it was used up, or taken back, since."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from identity.accounts.credentials import credential
from identity.sessions.session_store import SessionKind, SessionStatus, pds_session


def active_dids(connection: Connection, kind: SessionKind) -> Sequence[str]:
    """Return the accounts with a login of this kind."""
    session = pds_session.c
    active = select(session.did).where(
        session.kind == kind.value, session.status == SessionStatus.ACTIVE.value
    )
    return connection.scalars(active.order_by(session.did)).all()


def forget_logins(connection: Connection, kind: SessionKind, reason: str, now: datetime) -> None:
    """Forget the tokens of these logins, and tell their PDSes nothing: who signs in anew replaces them."""
    connection.execute(
        update(pds_session)
        .where(pds_session.c.kind == kind.value, pds_session.c.status == SessionStatus.ACTIVE.value)
        .values(
            status=SessionStatus.REAUTH_REQUIRED.value,
            sealed=None,
            access_expires_at=None,
            refresh_until=None,
            refresh_owner=None,
            last_error=reason,
            updated_at=now,
        )
    )


def revoke_tokens(connection: Connection, now: datetime) -> None:
    """End all of them."""
    working = update(credential).where(credential.c.revoked_at.is_(None))
    connection.execute(working.values(revoked_at=now))
