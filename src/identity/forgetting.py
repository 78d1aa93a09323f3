"""Forgetting who somebody was: nothing of theirs opens a door any more."""

from sqlalchemy import Connection, delete, func, or_, select

from eventstore.database import Database
from identity.accounts import account
from identity.credentials import credential
from identity.session_rows import SessionStatus, pds_session


def is_connected(connection: Connection, did: str) -> bool:
    """Whether there is a login at the account's PDS that can be used."""
    active = pds_session.c.status == SessionStatus.ACTIVE.value
    return (
        connection.execute(select(pds_session.c.did).where(pds_session.c.did == did, active)).first()
        is not None
    )


def open_doors(database: Database, connection: Connection, did: str) -> int:
    """Count the sessions and tokens that still work."""
    column, now = credential.c, database.now(connection)
    works = (column.revoked_at.is_(None), or_(column.expires_at.is_(None), column.expires_at > now))
    return connection.scalar(select(func.count()).where(column.did == did, *works)) or 0


def forget(connection: Connection, did: str) -> None:
    """Delete the account, what its login left, and its sessions and tokens."""
    for table in (pds_session, credential, account):
        connection.execute(delete(table).where(table.c.did == did))
