"""The Idempotency-Keys whose first request is running, in any process: a second request gets InProgressError.

A row with a lease marks the key; after a crash it lasts for seconds. Correctness does not depend on it: of two requests
that run all the same, the second finds the first one's result in its unit of work, under the account's lock.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple
from datetime import timedelta
from functools import partial
from typing import Final

import anyio
from sqlalchemy import Column, Connection, Table, Text, bindparam, delete, update

from eventstore.append import take_lease
from eventstore.coordination.threads import Threads
from eventstore.database import Database
from eventstore.errors import InProgressError
from eventstore.idempotency.results import CommandResult, RequestKey
from eventstore.prepared import Prepared, pipelined
from eventstore.schema import UtcDateTime, metadata
from eventstore.unit_of_work import UnitOfWork

LEASE: Final = timedelta(seconds=15)
RENEWAL_SECONDS: Final = 5.0

running_request = Table(
    "running_request",
    metadata,
    Column("did", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
)
_END: Final = Prepared(
    lambda _: delete(running_request).where(
        *(column == bindparam(column.name) for column in running_request.primary_key),
        running_request.c.run == bindparam("run"),
    )
)
logger: Final = logging.getLogger("mastertape.eventstore")


class KeyLock:
    """One running request's hold on its key."""

    def __init__(self, database: Database, key: RequestKey, threads: Threads) -> None:
        self.key: Final = key
        self._database: Final = database
        self._threads: Final = threads
        self._run: Final = uuid.uuid4().hex
        self._released_with_commit = False

    def acquire(self) -> None:
        """Take the key; raises InProgressError while another request holds it."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            holder = {"run": self._run, "lease_until": now + LEASE}
            is_free = running_request.c.lease_until <= now
            if not take_lease(connection, running_request, vars(self.key), holder, is_free=is_free):
                raise InProgressError

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
            self._end(unit.connection)
        unit.after_commit(partial(setattr, self, "_released_with_commit", True))

    def release(self) -> None:
        """Release the key after a refusal; if that fails, the lease expires."""
        if self._released_with_commit:
            return
        try:
            with self._database.write() as connection:
                self._end(connection)
        except Exception:
            logger.exception("running_request_not_ended")

    def _renew(self) -> None:
        try:
            with self._database.write() as connection:
                until = self._database.now(connection) + LEASE
                ours = [
                    column == value
                    for column, value in zip(running_request.primary_key, astuple(self.key), strict=True)
                ]
                connection.execute(
                    update(running_request)
                    .where(*ours, running_request.c.run == self._run)
                    .values(lease_until=until)
                )
        except Exception:
            logger.exception("running_request_not_renewed")

    def _end(self, connection: Connection) -> None:
        _END.start(connection, {**vars(self.key), "run": self._run})


@asynccontextmanager
async def key_lock(
    database: Database, key: RequestKey | None, threads: Threads
) -> AsyncGenerator[KeyLock | None]:
    """Hold the key for as long as the block; without a key there is nothing to hold."""
    if key is None:
        yield None
        return
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
