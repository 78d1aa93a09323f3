"""The accounts that have signed in here: handle, PDS and display name as of their newest sign-in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.states import State
from eventstore.sql.database import Database
from eventstore.sql.prepared import Prepared
from eventstore.sql.schema import UtcDateTime, metadata
from eventstore.streams.append import key_of, upsert
from eventstore.streams.buckets import account_columns
from identity.errors import INVALID_HANDLE

account = sa.Table(
    "account",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("handle", sa.Text, nullable=False, index=True),
    sa.Column("pds_url", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("leaving_since", UtcDateTime),
    sa.Column("chosen_name", sa.Text),
    sa.Column("bio", sa.Text),
    sa.Column("support_url", sa.Text),
    sa.Column("comments", sa.Boolean, nullable=False, server_default=sa.text("false")),
)


class AccountState(State):
    """States of an account, derived from `leaving_since`."""

    ACTIVE = "active", "its owner may give every command"
    LEAVING = "leaving", "its records, login and data are being removed; other commands are refused"

    @classmethod
    def since(cls, leaving_since: datetime | None) -> "AccountState":
        return cls.ACTIVE if leaving_since is None else cls.LEAVING


@dataclass(frozen=True)
class Account:
    """One account as of its newest sign-in, with the name and the bio that its owner has set here."""

    did: str
    handle: str
    pds_url: str
    display_name: str
    created_at: datetime
    updated_at: datetime
    leaving_since: datetime | None = None
    """When it requested its deletion."""
    chosen_name: str | None = None
    bio: str | None = None
    support_url: str | None = None
    """Where its supporters pay."""
    comments: bool = False
    """Whether people may comment on its tracks that say nothing else."""

    @classmethod
    def of(cls, row: Any) -> "Account":
        return cls(**{field: getattr(row, field) for field in cls.__dataclass_fields__})

    @property
    def name(self) -> str:
        """The name that its owner has set here, else that of the profile on its PDS."""
        return self.chosen_name or self.display_name


ACTIVE: Final = Prepared(
    lambda _: sa.select(account.c.did).where(
        account.c.did == sa.bindparam("did"), account.c.leaving_since.is_(None)
    )
)
"""Finds the account if it exists and has not requested its deletion."""


class Accounts:
    """Reads and writes accounts. Reads join the open transaction, if there is one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, did: str) -> Account | None:
        return next(iter(self._all(sa.select(account).where(account.c.did == did))), None)

    def by_handle(self, handle: str) -> Account | None:
        """Return the account with this handle; a leading @ and capitals are ignored."""
        wanted = handle.removeprefix("@").lower()
        if wanted == INVALID_HANDLE:
            return None
        found = sa.select(account).where(account.c.handle == wanted).order_by(account.c.updated_at.desc())
        return next(iter(self._all(found.limit(1))), None)

    def with_handle_part(self, part: str, *, limit: int) -> Sequence[Account]:
        has_part = account.c.handle.contains(part.lower(), autoescape=True)
        is_shown = (account.c.handle != INVALID_HANDLE) & account.c.leaving_since.is_(None)
        found = sa.select(account).where(has_part, is_shown).order_by(account.c.handle).limit(limit)
        return self._all(found)

    def of_dids(self, dids: Collection[str]) -> Sequence[Account]:
        """Return those of the accounts that are here and have not requested their deletion."""
        return self._all(sa.select(account).where(account.c.did.in_(dids), account.c.leaving_since.is_(None)))

    def _all(self, found: sa.Select[Any]) -> Sequence[Account]:
        with self._database.read() as connection:
            return [Account.of(row) for row in connection.execute(found)]

    def upsert(
        self,
        connection: sa.Connection,
        *,
        did: str,
        handle: str,
        **known: str | bool | None,
    ) -> Account:
        """Write the columns that a sign-in has just verified; another account that had this handle loses it."""
        now = self._database.now(connection)
        handle = handle.lower()
        if handle != INVALID_HANDLE:
            _take_handle(connection, did, handle)
        written = {
            "chosen_name": None,
            "bio": None,
            "support_url": None,
            **known,
            "handle": handle,
            "updated_at": now,
        }
        new = upsert(connection, account).values(did=did, created_at=now, **written)
        key = key_of(connection.dialect.name, account)
        stored = new.on_conflict_do_update(index_elements=key, set_=written).returning(account)
        return Account.of(connection.execute(stored).one())


def _take_handle(connection: sa.Connection, did: str, handle: str) -> None:
    others = sa.select(account.c.did).where(account.c.handle == handle, account.c.did != did)
    for other in connection.scalars(others).all():
        lost = sa.update(account).where(account.c.did == other, account.c.handle == handle)
        connection.execute(lost.values(handle=INVALID_HANDLE))


def accounts_of(connection: sa.Connection, dids: Collection[str]) -> dict[str, Account]:
    """Return those of the accounts that are here, also those that have requested their deletion, by DID."""
    rows = connection.execute(sa.select(account).where(account.c.did.in_(dids)))
    return {row.did: Account.of(row) for row in rows}


def handle_in(known: Mapping[str, Account], did: str) -> str:
    """Return the handle of an account; INVALID_HANDLE of one that is not among these."""
    return known[did].handle if did in known else INVALID_HANDLE


def set_profile(connection: sa.Connection, did: str, **shown: str | bool | None) -> None:
    connection.execute(sa.update(account).where(account.c.did == did).values(**shown))


def request_deletion(connection: sa.Connection, did: str, at: datetime) -> None:
    """Record when the account requested its deletion; a second request changes nothing."""
    active = account.c.leaving_since.is_(None)
    connection.execute(sa.update(account).where(account.c.did == did, active).values(leaving_since=at))
