"""A queue with one kind of job, on a clock that a test advances."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from eventstore.coordination.due_parts import parts_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome, Wanted
from eventstore.jobs.table import job
from eventstore.jobs.worker import Worker
from eventstore.sql.database import Database
from eventstore.streams.buckets import Part

KIND = "copying"
LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def nothing(_job: Job) -> Outcome:
    return Outcome.DONE


def kind(work: Callable[[Job], Any] = nothing, **options: Any) -> Kind:
    """A kind whose errors are judged by their message: `final` ends the job."""

    def judge(error: Exception) -> Failure | None:
        text = str(error)
        return Failure(text, final=text == "final") if text else None

    first = Kind(
        KIND,
        work,
        judge=judge,
        max_concurrent=10,
        first_pause_seconds=10,
        max_pause_seconds=1000,
        max_attempts=5,
        max_per_account=None,
    )
    return replace(first, **options)


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[None]:
    """The worker runs during the block, and has stopped after it."""
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})


def claim_anywhere(
    database: Database,
    of: Kind,
    owner: str,
    lease: timedelta = LEASE,
    parts: Sequence[Part] | None = None,
) -> Job | None:
    """Claim as a worker does, in one part after the other."""
    these = parts_of(database) if parts is None else parts
    claims = (queue.claim(database, of, owner=owner, lease=lease, part=part) for part in these)
    return next((claimed for claimed in claims if claimed is not None), None)


class Rig:
    def __init__(self, database: Database, time: Time) -> None:
        self.database, self.time = database, time

    def want(self, *subjects: str, account: str = "alice", host: str = "", **how: bool) -> None:
        with self.database.write() as connection:
            wanted = [Wanted(KIND, subject, account, host) for subject in subjects]
            queue.request(connection, wanted, self.time(), **how)

    def claim(self, of: Kind, owner: str = "one") -> Job | None:
        """Claim as a worker does, first in the part of the account that is next."""
        parts = queue.due_kinds(self.database, [of], parts_of(self.database)).get(of.name, ())
        return claim_anywhere(self.database, of, owner, parts=parts)

    def claimed(self, of: Kind, owner: str = "one") -> Job:
        found = self.claim(of, owner)
        assert found is not None
        return found

    def subjects(self, of: Kind, count: int) -> list[str]:
        return [self.claimed(of).subject for _ in range(count)]

    def row(self, subject: str) -> Any:
        with self.database.read() as connection:
            return connection.execute(select(job).where(job.c.subject == subject)).one_or_none()

    def later(self, pause: timedelta) -> None:
        self.time.now += pause
