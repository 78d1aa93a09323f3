"""Reads back a sample of the writes that hosts have acknowledged to this process: the newest one of some accounts of each host.

Where it differs, all recent writes of the account are verified. The scan finds the lies that no sample shows, or that still wait
to be read back when the process ends.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.coordination.commit_signals import announce
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of
from outbox.mirror.due import is_open
from outbox.mirror.hosts import PacedPds
from outbox.mirror.lanes import Lane
from outbox.mirror.requeue import reverify
from outbox.mirror.states import TargetState
from outbox.mirror.tables import lane, mirror_lane, mirror_target, target
from outbox.mirror.targets import is_about
from outbox.pds.client import RecordKey, RemoteUnknownError
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_CONCURRENT_READS: Final = 8
MAX_ACCOUNTS_OF_HOST: Final = 20
MAX_WRITES_OF_ACCOUNT: Final = 100
"""So many of the last ones are verified where the newest differs."""


@dataclass(eq=False)
class ReadBacks:
    """A host's writes are read back once for all that it acknowledges within `after_seconds`, at a random time in their second half."""

    database: Database
    pds: PacedPds
    after_seconds: float
    wake: Callable[[int], None] = lambda _bucket: None
    _waiting: dict[str, dict[str, deque[Subject]]] = field(init=False, default_factory=dict)
    """Subjects by host and account, the newest last."""
    _turns: asyncio.Semaphore = field(
        init=False, default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_READS)
    )
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    def expect(self, of: Lane, subjects: Iterable[Subject]) -> None:
        """Read back later what the lane's host has just acknowledged of these subjects."""
        for subject in subjects:
            if of.host not in self._waiting:
                self._waiting[of.host] = {}
                task = asyncio.create_task(self._read_later(of.host))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            of_host = self._waiting[of.host]
            if of.did in of_host or len(of_host) < MAX_ACCOUNTS_OF_HOST:
                of_host.setdefault(of.did, deque(maxlen=MAX_WRITES_OF_ACCOUNT)).append(subject)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _read_later(self, host: str) -> None:
        await asyncio.sleep(self.after_seconds * random.uniform(0.5, 1))  # noqa: S311 - hosts in turn
        await self.read(host)

    async def read(self, host: str) -> None:
        """Read back the writes that the host has acknowledged until now; one that does not answer is left to the scan."""
        try:
            for did, subjects in self._waiting.pop(host, {}).items():
                await self._read_back(host, did, subjects)
        except RemoteUnknownError:
            return
        except Exception:
            logger.exception("not_read_back", extra={"host": host})

    async def _read_back(self, host: str, did: str, subjects: deque[Subject]) -> None:
        if (expected := await in_thread(self._acknowledged, host, did, subjects[-1])) is None:
            return
        key, cid = expected
        async with self._turns:
            remote = await self.pds.get(host, key)
        if remote.cid != cid:
            await in_thread(self._verify, did, set(subjects))
            self.wake(bucket_of(did))

    def _acknowledged(self, host: str, did: str, subject: Subject) -> tuple[RecordKey, str | None] | None:
        """Return the subject's record, and the CID that its PDS has acknowledged; None if the log knows more by now."""
        query = (
            sa.select(target.collection, target.rkey, target.observed_cid)
            .join(mirror_lane, lane.did == target.did)
            .where(
                *is_about(mirror_target, did, *subject),
                ~target.former,
                ~target.detached,
                ~is_open(),
                target.state == TargetState.IDLE,
                lane.host == host,
            )
        )
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return (RecordKey(did, row.collection, row.rkey), row.observed_cid) if row is not None else None

    def _verify(self, did: str, subjects: Iterable[Subject]) -> None:
        with self.database.write() as connection:
            reverify(connection, subjects, self.database.now(connection))
            announce(connection, did)
