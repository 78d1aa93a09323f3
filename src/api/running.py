"""The keys whose first request is running, in whatever process: a second one is told to come again.

A row with a lease says so; a process that dies leaves it behind for seconds. Nothing rests on it: two that run all the
same find each other's answer in the unit, under the account's lock.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import anyio
from sqlalchemy import Column, Table, Text, delete, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from starlette.concurrency import run_in_threadpool

from api.idempotency import Answer, RequestKey
from api.refusals import InProgressError
from eventstore.database import Database
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
logger: Final = logging.getLogger(__name__)


class Run:
    """One request that runs under a key."""

    def __init__(self, database: Database, key: RequestKey) -> None:
        self.key: Final = key
        self._kept = False
        self._database: Final = database
        self._run: Final = uuid.uuid4().hex

    def begin(self) -> None:
        """Take the key, unless another request runs under it."""
        insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        with self._database.write() as connection:
            now = self._database.now(connection)
            ours = {"run": self._run, "lease_until": now + LEASE}
            taken = connection.execute(
                insert(running_request)
                .values(**vars(self.key), **ours)
                .on_conflict_do_update(
                    index_elements=running_request.primary_key.columns,
                    set_=ours,
                    where=running_request.c.lease_until <= now,
                )
                .returning(running_request.c.run)
            ).one_or_none()
        if taken is None:
            raise InProgressError

    async def renew(self, over: asyncio.Event) -> None:
        """Go on holding it until it is over."""
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL_SECONDS):
                    await over.wait()
                    return
            await run_in_threadpool(self._renew)

    def keep(self, unit: UnitOfWork, digest: str, answer: Answer) -> None:
        """Keep the answer in the unit of the command, and let go of the key with its commit."""
        self.key.keep(unit.connection, digest, answer, unit.now)
        unit.connection.execute(delete(running_request).where(*self._ours()))
        unit.after_commit(self._is_kept)

    def end(self) -> None:
        """Let go of the key after a refusal; where that fails, the lease ends by itself."""
        if self._kept:
            return
        try:
            with self._database.write() as connection:
                connection.execute(delete(running_request).where(*self._ours()))
        except Exception:
            logger.exception("running_request_not_ended")

    def _renew(self) -> None:
        try:
            with self._database.write() as connection:
                until = self._database.now(connection) + LEASE
                connection.execute(update(running_request).where(*self._ours()).values(lease_until=until))
        except Exception:
            logger.exception("running_request_not_renewed")

    def _ours(self) -> list[Any]:
        return [*self.key.conditions(running_request), running_request.c.run == self._run]

    def _is_kept(self) -> None:
        self._kept = True


@asynccontextmanager
async def running(database: Database, key: RequestKey | None) -> AsyncGenerator[Run | None]:
    """Hold the key for as long as the block."""
    if key is None:
        yield None
        return
    run = Run(database, key)
    await run_in_threadpool(run.begin)
    over = asyncio.Event()
    renewing = asyncio.create_task(run.renew(over))
    try:
        yield run
    finally:
        over.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({renewing})  # it may be using a connection
            await run_in_threadpool(run.end)
