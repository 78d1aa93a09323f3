"""The sessions that accounts have at their PDSes: one row each, tokens sealed.

`generation` counts the token pairs that a row has had. Whoever refreshes takes a lease on the current generation, asks the
PDS with no transaction open, and stores the answer only if the generation has not moved on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Connection, Integer, LargeBinary, Table, Text, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from eventstore.database import Database
from eventstore.schema import UtcDateTime, metadata
from identity.errors import SignInRequiredError
from identity.sessions.encryption import Seal
from identity.sessions.tokens import Tokens

PURPOSE: Final = "pds_session"
LEASE: Final = timedelta(seconds=90)
"""Longer than a renewal can take: metadata, and a token call that is sent again with a new nonce."""


class SessionKind(StrEnum):
    """How the account signed in."""

    APP_PASSWORD = "app_password"  # noqa: S105
    OAUTH = "oauth"


class SessionStatus(StrEnum):
    """Whether the session can be used."""

    ACTIVE = "active"
    REAUTH_REQUIRED = "reauth_required"


pds_session = Table(
    "pds_session",
    metadata,
    Column("did", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("pds_url", Text, nullable=False),
    Column("sealed", LargeBinary),  # none once the session has ended
    Column("scope", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("refresh_until", UtcDateTime),
    Column("refresh_owner", Text),
    Column("last_error", Text),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("access_expires_at", UtcDateTime),
)


OF_ACCOUNT: Final = select(pds_session).where(pds_session.c.did == bindparam("did"))


@dataclass(frozen=True)
class Session:
    """An active row as it stood at `loaded_at`. The tokens are sealed: `SessionRows.tokens` opens them for one use."""

    did: str
    kind: SessionKind
    pds_url: str
    sealed: bytes
    scope: str
    generation: int
    refresh_until: datetime | None
    access_expires_at: datetime | None
    loaded_at: datetime

    @property
    def refreshing(self) -> bool:
        """Whether somebody holds the refresh lease."""
        return self.refresh_until is not None and self.refresh_until > self.loaded_at

    def expires_within(self, margin: timedelta) -> bool:
        """Whether the access token ends that soon."""
        return self.access_expires_at is not None and self.access_expires_at <= self.loaded_at + margin


class SessionRows:
    """The statements. Each hook is called first in the transaction that changes a row.

    The hooks come first because they lock the lane, and lanes are locked before everything but the log.
    """

    def __init__(
        self,
        database: Database,
        seal: Seal,
        *,
        on_reauth: Callable[[Connection, str], None],
        on_signed_in: Callable[[Connection, str, str], None],
        lease: timedelta = LEASE,
    ) -> None:
        self._database = database
        self._seal = seal
        self._on_reauth = on_reauth
        self._on_signed_in = on_signed_in
        self.lease: Final = lease

    def load(self, did: str) -> Session:
        """The active session of this account, or `SignInRequiredError`."""
        with self._database.read_committed() as connection:
            row = connection.execute(self._database.with_now(OF_ACCOUNT), {"did": did}).one_or_none()
            if row is None:
                raise SignInRequiredError(did)
            now = self._database.now(connection, read=row.now)
        if row.status != SessionStatus.ACTIVE:
            raise SignInRequiredError(did, row.last_error)
        return Session(
            did=did,
            kind=SessionKind(row.kind),
            pds_url=row.pds_url,
            sealed=row.sealed,
            scope=row.scope,
            generation=row.generation,
            refresh_until=row.refresh_until,
            access_expires_at=row.access_expires_at,
            loaded_at=now,
        )

    def tokens(self, session: Session) -> Tokens:
        """Open the seal; keep what comes out no longer than one request."""
        opened = self._seal.open(session.sealed, purpose=PURPOSE, did=session.did)
        return Tokens.from_bytes(opened, session.scope, session.access_expires_at)

    def put(
        self, connection: Connection, *, did: str, kind: SessionKind, pds_url: str, tokens: Tokens
    ) -> None:
        """Store what a sign-in has just brought; it replaces and revives whatever was there."""
        self._on_signed_in(connection, did, pds_url)
        insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        values = {"kind": kind.value, "pds_url": pds_url, **self._values(connection, did, tokens)}
        connection.execute(
            insert(pds_session)
            .values(did=did, generation=1, **values)
            .on_conflict_do_update(
                index_elements=["did"], set_={**values, "generation": pds_session.c.generation + 1}
            )
        )

    def idle_since(self, before: timedelta) -> list[str]:
        """The accounts whose session works and has not been renewed for that long."""
        with self._database.read() as connection:
            then = self._database.now(connection) - before
            return list(
                connection.scalars(
                    select(pds_session.c.did).where(
                        pds_session.c.status == SessionStatus.ACTIVE.value, pds_session.c.updated_at <= then
                    )
                )
            )

    def claim(self, did: str, generation: int, owner: str) -> bool:
        """Take the refresh lease of this generation. False: somebody has it, or the generation is past."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            free = or_(pds_session.c.refresh_until.is_(None), pds_session.c.refresh_until <= now)
            claimed = connection.execute(
                update(pds_session)
                .where(*_stands(did, generation), free)
                .values(refresh_until=now + self.lease, refresh_owner=owner)
            )
            return claimed.rowcount == 1

    def store(self, did: str, generation: int, tokens: Tokens) -> bool:
        """Replace the tokens of this generation. False: a newer one stands, and these are dropped."""
        with self._database.write() as connection:
            stored = connection.execute(
                update(pds_session)
                .where(*_stands(did, generation))
                .values(generation=generation + 1, **self._values(connection, did, tokens))
            )
            return stored.rowcount == 1

    def release(self, did: str, generation: int, owner: str, reason: str) -> None:
        """Give the lease back after a refresh that failed for now."""
        with self._database.write() as connection:
            connection.execute(
                update(pds_session)
                .where(*_stands(did, generation), pds_session.c.refresh_owner == owner)
                .values(refresh_until=None, refresh_owner=None, last_error=reason)
            )

    def end(self, did: str, generation: int, reason: str) -> None:
        """The PDS takes the refresh token no more: only a new sign-in helps, unless one has just come."""
        with self._database.write() as connection:
            self.end_in(connection, did, generation, reason)

    def end_in(self, connection: Connection, did: str, generation: int, reason: str) -> bool:
        """End the session inside a transaction; False, and nothing is changed, when it is another by now."""
        with connection.begin_nested() as attempt:
            self._on_reauth(connection, did)
            ended = connection.execute(
                update(pds_session)
                .where(*_stands(did, generation))
                .values(
                    status=SessionStatus.REAUTH_REQUIRED.value,
                    sealed=None,
                    access_expires_at=None,
                    refresh_until=None,
                    refresh_owner=None,
                    last_error=reason,
                    updated_at=self._database.now(connection),
                )
            )
            if ended.rowcount == 0:
                attempt.rollback()
            return ended.rowcount == 1

    def _values(self, connection: Connection, did: str, tokens: Tokens) -> dict[str, Any]:
        return {
            "sealed": self._seal.seal(tokens.to_bytes(), purpose=PURPOSE, did=did),
            "scope": tokens.scope,
            "status": SessionStatus.ACTIVE.value,
            "refresh_until": None,
            "refresh_owner": None,
            "last_error": None,
            "updated_at": self._database.now(connection),
            "access_expires_at": tokens.access_expires_at,
        }


def _stands(did: str, generation: int) -> tuple[Any, ...]:
    return (
        pds_session.c.did == did,
        pds_session.c.generation == generation,
        pds_session.c.status == SessionStatus.ACTIVE.value,
    )
