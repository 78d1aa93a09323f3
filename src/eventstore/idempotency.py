"""Results of commands, kept for a day under the caller's Idempotency-Key, and the keys whose first request is running.

The command's own unit of work writes the row, so a repeated request finds the result, or nothing when the command failed.
A row with a lease marks a running request in any process: a second one gets InProgressError. After a crash it lasts for
seconds. Correctness does not depend on it: of two that run all the same, the second finds the result of the first.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import anyio
import sqlalchemy as sa
from pydantic import BaseModel

from eventstore.coordination.threads import Threads
from eventstore.errors import IdempotencyMismatchError, InProgressError
from eventstore.sql.database import Database
from eventstore.sql.prepared import Prepared, Query, pipelined
from eventstore.sql.schema import Json, UtcDateTime, metadata
from eventstore.streams.append import take_lease
from eventstore.streams.buckets import account_columns
from eventstore.unit_of_work import UnitOfWork

logger: Final = logging.getLogger("mastertape.eventstore")

RESULT_TTL: Final = timedelta(hours=24)

idempotency = sa.Table(
    "idempotency",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", Json, nullable=False),
    sa.Column("headers", Json, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)


_BY_KEY: Final = Prepared(
    lambda _: sa.select(idempotency).where(
        *(column == sa.bindparam(column.name) for column in idempotency.primary_key)
    )
)
_EXPIRE: Final = Prepared(
    lambda _: sa.delete(idempotency).where(
        idempotency.c.did == sa.bindparam("did"), idempotency.c.created_at <= sa.bindparam("until")
    )
)
_KEEP: Final = Prepared(lambda _: sa.insert(idempotency), idempotency.columns.keys())


@dataclass(frozen=True)
class CommandResult:
    """What a command answers. A body that is a model becomes JSON once: when it is sent, or when it is kept."""

    status: int
    body: BaseModel | dict[str, Any]
    headers: dict[str, str]

    @property
    def fields(self) -> dict[str, Any]:
        return self.body if isinstance(self.body, dict) else self.body.model_dump(mode="json")


@dataclass(frozen=True)
class RequestKey:
    did: str
    method: str
    route: str
    key: str

    @property
    def query(self) -> Query:
        return _BY_KEY.query(**vars(self))

    def stored(self, connection: sa.Connection, now: Callable[[], datetime]) -> "StoredResult | None":
        """Find the result of an earlier request with this key, unless it has expired."""
        rows = self.query.start(connection).all()
        if not rows or rows[0].created_at <= now() - RESULT_TTL:
            return None
        (row,) = rows
        return StoredResult(row.digest, CommandResult(row.status, row.body, row.headers))

    def stored_in(self, unit: UnitOfWork) -> "StoredResult | None":
        if not unit.finds(self.query, expected=False):
            return None
        return self.stored(unit.connection, lambda: unit.now)

    def keep(self, connection: sa.Connection, digest: str, result: CommandResult, now: datetime) -> None:
        """Keep the result with the digest of its request, and delete the account's expired ones."""
        _EXPIRE.start(connection, {"did": self.did, "until": now - RESULT_TTL})
        _KEEP.start(
            connection,
            {**vars(self), **vars(result), "body": result.fields, "digest": digest, "created_at": now},
        )


@dataclass(frozen=True)
class StoredResult:
    digest: str
    result: CommandResult

    def for_digest(self, digest: str) -> CommandResult:
        """Return the result, if the digest is the same; raises IdempotencyMismatchError."""
        if digest != self.digest:
            raise IdempotencyMismatchError
        return self.result


LEASE: Final = timedelta(seconds=15)
RENEWAL_SECONDS: Final = 5.0

running_request = sa.Table(
    "running_request",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("lease_until", UtcDateTime, nullable=False),
)
_IS_OURS: Final = (
    *(column == sa.bindparam(column.name) for column in running_request.primary_key),
    running_request.c.run == sa.bindparam("run"),
)
_RENEW: Final = Prepared(
    lambda _: (
        sa.update(running_request)
        .where(*_IS_OURS)
        .values(lease_until=sa.bindparam("until", type_=UtcDateTime))
    )
)
_END: Final = Prepared(lambda _: sa.delete(running_request).where(*_IS_OURS))


class KeyLock:
    def __init__(self, database: Database, key: RequestKey, threads: Threads) -> None:
        self.key: Final = key
        self._database: Final = database
        self._threads: Final = threads
        self._ours: Final = {**vars(key), "run": uuid.uuid4().hex}
        self._released_with_commit = False

    def acquire(self) -> None:
        """Take the key; raises InProgressError while another request holds it."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            holder = {"run": self._ours["run"], "lease_until": now + LEASE}
            is_free = running_request.c.lease_until <= now
            if not take_lease(connection, running_request, vars(self.key), holder, is_free=is_free):
                raise InProgressError

    def stored(self) -> StoredResult | None:
        """Find the result of an earlier request, in the transaction that is open here or in none."""
        with self._database.read_committed() as connection:
            return self.key.stored(connection, lambda: self._database.now(connection))

    async def renew_until(self, done: asyncio.Event) -> None:
        while not done.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL_SECONDS):
                    await done.wait()
                    return
            await self._threads.run(self._renew)

    def keep_result(self, unit: UnitOfWork, digest: str, result: CommandResult) -> None:
        """Keep the result in the command's unit of work; its commit releases the key."""
        now = unit.now
        with pipelined(unit.connection):
            self.key.keep(unit.connection, digest, result, now)
            _END.start(unit.connection, self._ours)
        unit.after_commit(partial(setattr, self, "_released_with_commit", True))

    def release(self) -> None:
        """Release the key after a refusal; if that fails, the lease expires."""
        if self._released_with_commit:
            return
        try:
            with self._database.write() as connection:
                _END.start(connection, self._ours)
        except Exception:
            logger.exception("running_request_not_ended")

    def _renew(self) -> None:
        try:
            with self._database.write() as connection:
                until = self._database.now(connection) + LEASE
                _RENEW.start(connection, {**self._ours, "until": until})
        except Exception:
            logger.exception("running_request_not_renewed")


@asynccontextmanager
async def key_lock(database: Database, key: RequestKey, threads: Threads) -> AsyncGenerator[KeyLock]:
    lock = KeyLock(database, key, threads)
    await threads.run(lock.acquire)
    done = asyncio.Event()
    renewing = asyncio.create_task(lock.renew_until(done))
    try:
        yield lock
    finally:
        done.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({renewing})  # it may be using a connection
            await threads.run(lock.release)
