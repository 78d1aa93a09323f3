"""The accounts that have signed in here: who they are and where their records live."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Column, Connection, Row, Table, Text, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from eventstore.database import Database
from eventstore.schema import UtcDateTime, metadata
from identity.resolution.identifiers import INVALID_HANDLE

account = Table(
    "account",
    metadata,
    Column("did", Text, primary_key=True),
    Column("handle", Text, nullable=False, index=True),
    Column("pds_url", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("leaving_since", UtcDateTime),
)


@dataclass(frozen=True)
class Account:
    """One person, as of the newest sign-in; `leaving_since` they want to be gone from here."""

    did: str
    handle: str
    pds_url: str
    display_name: str
    created_at: datetime
    updated_at: datetime
    leaving_since: datetime | None = None


_STAYS: Final = select(account.c.did).where(
    account.c.did == bindparam("did"), account.c.leaving_since.is_(None)
)


class Accounts:
    """Reads and writes accounts. Reads join the transaction that is open, if one is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, did: str) -> Account | None:
        """The account with this DID."""
        with self._database.read() as connection:
            return _account(connection.execute(select(account).where(account.c.did == did)).one_or_none())

    def by_handle(self, handle: str) -> Account | None:
        """The account that goes by this handle now; a leading @ and capitals do not matter."""
        wanted = handle.removeprefix("@").lower()
        if wanted == INVALID_HANDLE:
            return None
        found = (
            select(account).where(account.c.handle == wanted).order_by(account.c.updated_at.desc()).limit(1)
        )
        with self._database.read() as connection:
            return _account(connection.execute(found).one_or_none())

    def leaving(self) -> Sequence[str]:
        """The accounts that have asked to be gone, the longest waiting first."""
        wants = account.c.leaving_since.is_not(None)
        with self._database.read() as connection:
            return connection.scalars(
                select(account.c.did).where(wants).order_by(account.c.leaving_since, account.c.did)
            ).all()

    def upsert(
        self, connection: Connection, *, did: str, handle: str, pds_url: str, display_name: str
    ) -> Account:
        """Write what a sign-in has just verified; whoever had the handle before has it no longer."""
        now = self._database.now(connection)
        handle = handle.lower()
        if handle != INVALID_HANDLE:
            others = (account.c.handle == handle) & (account.c.did != did)
            connection.execute(update(account).where(others).values(handle=INVALID_HANDLE))
        insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        known = {"handle": handle, "pds_url": pds_url, "display_name": display_name, "updated_at": now}
        row = connection.execute(
            insert(account)
            .values(did=did, created_at=now, **known)
            .on_conflict_do_update(index_elements=["did"], set_=known)
            .returning(account)
        ).one()
        return Account(**row._mapping)  # noqa: SLF001


def is_staying(connection: Connection, did: str) -> bool:
    """Whether the account is one that has not asked to be gone."""
    return connection.scalar(_STAYS, {"did": did}) is not None


def let_leave(connection: Connection, did: str, at: datetime) -> None:
    """Note since when the account wants to be gone; the first time counts."""
    stays = account.c.leaving_since.is_(None)
    connection.execute(update(account).where(account.c.did == did, stays).values(leaving_since=at))


def _account(row: Row[tuple[object, ...]] | None) -> Account | None:
    return None if row is None else Account(**row._mapping)  # noqa: SLF001 (a public name, in spite of its underscore)
