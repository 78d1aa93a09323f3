"""Forgetting who somebody was: nothing of theirs opens a door any more."""

from sqlalchemy import Connection, delete, select

from identity.accounts.accounts import account
from identity.accounts.credentials import credential
from identity.sessions.session_store import SessionStatus, pds_session


def is_connected(connection: Connection, did: str) -> bool:
    """Whether there is a login at the account's PDS that can be used."""
    active = pds_session.c.status == SessionStatus.ACTIVE.value
    return (
        connection.execute(select(pds_session.c.did).where(pds_session.c.did == did, active)).first()
        is not None
    )


def forget(connection: Connection, did: str) -> None:
    """Delete the account, what its login left, and its sessions and tokens."""
    for table in (pds_session, credential, account):
        connection.execute(delete(table).where(table.c.did == did))
