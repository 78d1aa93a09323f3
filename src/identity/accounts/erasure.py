"""Erases an account: its row, its PDS session, and its sessions and tokens here."""

from sqlalchemy import Connection, delete, select

from identity.accounts.accounts import account
from identity.accounts.credentials import credential
from identity.sessions.session_store import PdsSessionState, pds_session


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
