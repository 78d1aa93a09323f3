"""Ends logins and tokens: those of a restored database, some of which were spent or revoked after the backup, and a deleted account's."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from identity.accounts.accounts import account
from identity.accounts.credentials import credential
from identity.sessions.session_store import ENDED, PdsSessionState, SessionKind, pds_session


def active_dids(connection: Connection, kind: SessionKind) -> Sequence[str]:
    """Return the accounts with an active session of this kind."""
    session = pds_session.c
    active = select(session.did).where(session.kind == kind.value, session.status == PdsSessionState.ACTIVE)
    return connection.scalars(active.order_by(session.did)).all()


def end_logins(connection: Connection, kind: SessionKind, reason: str, now: datetime) -> None:
    """End the active sessions of this kind here, without a request to any PDS; the accounts have to sign in again."""
    connection.execute(
        update(pds_session)
        .where(pds_session.c.kind == kind.value, pds_session.c.status == PdsSessionState.ACTIVE)
        .values(**ENDED, last_error=reason, updated_at=now)
    )


def revoke_tokens(connection: Connection, now: datetime) -> None:
    """Revoke all sessions and API tokens of all accounts."""
    working = update(credential).where(credential.c.revoked_at.is_(None))
    connection.execute(working.values(revoked_at=now))


def is_connected(connection: Connection, did: str) -> bool:
    """Whether the account has an active session at its PDS."""
    active = pds_session.c.status == PdsSessionState.ACTIVE
    return (
        connection.execute(select(pds_session.c.did).where(pds_session.c.did == did, active)).first()
        is not None
    )


def erase(connection: Connection, did: str) -> None:
    for table in (pds_session, credential, account):
        connection.execute(delete(table).where(table.c.did == did))
