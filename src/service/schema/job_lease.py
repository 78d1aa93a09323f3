"""Leases of periodic jobs: only the process that holds a job's lease runs it. Their rows say how the last run ended."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Table, Text, func, select, update

from eventstore.coordination.leases import take_lease
from eventstore.coordination.process_names import has_ended
from eventstore.database import Database
from eventstore.foreign_text import clean
from eventstore.schema import UtcDateTime, metadata
from eventstore.states import State

MAX_PROBLEM_LENGTH: Final = 300

job_lease: Final = Table(
    "job_lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("problem", Text),
    Column("failing_since", UtcDateTime),
)
"""`began_at` is of the newest run, the columns after it of the last one that ended; after a run `lease_until` says when the
job is due again."""


class JobName(StrEnum):
    """The periodic jobs, as their leases are stored (process/jobs.py)."""

    SWEEP_MEDIA = "sweep_media"
    REQUEST_DERIVED = "request_derived"
    REVIEW_PUBLIC_COPIES = "review_public_copies"
    KEEP_LOGINS_ALIVE = "keep_logins_alive"
    PRUNE_JOURNAL = "prune_journal"
    FINISH_LEAVING = "finish_leaving"
    FORGET_ANSWERS = "forget_answers"
    FORGET_CREDENTIALS = "forget_credentials"
    SCAN_RECORDS = "scan_records"


class JobState(State):
    """How the newest run of a periodic job goes, or ended."""

    NEW = "new", "no run is known"
    RUNNING = "running", "a process runs it"
    DONE = "done", "the last run ended as it should"
    FAILED = "failed", "the last run ended with an error; the job is due at once"
    CUT_OFF = "cut_off", "its process ended before the run did; the job is due when the lease expires"


@dataclass(frozen=True)
class JobRun:
    """The newest run of a job: `ended_at` and `problem` are of the last one that ended, `failing_since` of the first that failed.

    `next_at` is when the job is due again, `holder` the process that runs it, or ran it last.
    """

    name: str
    state: JobState
    began_at: datetime | None = None
    ended_at: datetime | None = None
    problem: str | None = None
    failing_since: datetime | None = None
    next_at: datetime | None = None
    holder: str | None = None


class JobLeases:
    """The job leases of one process."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database: Final = database
        self._owner: Final = owner

    @contextmanager
    def acquire(self, name: str, *, lease: timedelta, interval: timedelta) -> Generator[bool]:
        """Yield whether this process is to run the job now.

        For the length of the lease no other process starts the job; after a run it is due again once the interval has passed
        since the start of the run, after an exception at once.
        """
        acquired_at = self._acquire(name, lease)
        if acquired_at is None:
            yield False
            return
        try:
            yield True
        except BaseException as error:
            self._end(name, acquired_at, problem=_first_line(error))
            raise
        self._end(name, acquired_at + interval, problem=None)

    def runs(self, connection: Connection) -> list[JobRun]:
        """Return the newest run of each job, by all processes."""
        rows = {row.name: row for row in connection.execute(select(job_lease))}
        now = self._database.now(connection)
        return [_run(name, rows.get(name), now) for name in JobName]

    def _acquire(self, name: str, lease: timedelta) -> datetime | None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            holder = {"owner": self._owner, "lease_until": now + lease, "began_at": now}
            is_free = job_lease.c.lease_until <= now
            return now if take_lease(connection, job_lease, {"name": name}, holder, is_free=is_free) else None

    def _end(self, name: str, due_at: datetime, *, problem: str | None) -> None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            failing_since = None if problem is None else func.coalesce(job_lease.c.failing_since, now)
            connection.execute(
                update(job_lease)
                .where(job_lease.c.name == name, job_lease.c.owner == self._owner)
                .values(lease_until=due_at, ended_at=now, problem=problem, failing_since=failing_since)
            )


def _first_line(error: BaseException) -> str:
    first = next(iter(str(error).splitlines()), "")
    return clean(f"{type(error).__name__}: {first}" if first else type(error).__name__, MAX_PROBLEM_LENGTH)


def _run(name: str, row: Row[Any] | None, now: datetime) -> JobRun:
    if row is None:
        return JobRun(name, JobState.NEW)
    state = _state_of(row, now)
    return JobRun(
        name,
        state,
        began_at=row.began_at,
        ended_at=row.ended_at,
        problem=row.problem,
        failing_since=row.failing_since,
        next_at=None if state is JobState.RUNNING else row.lease_until,
        holder=row.owner,
    )


def _state_of(row: Row[Any], now: datetime) -> JobState:
    if row.began_at is None:
        return JobState.NEW
    if row.ended_at is None or row.ended_at < row.began_at:
        return JobState.CUT_OFF if row.lease_until <= now or has_ended(row.owner) else JobState.RUNNING
    return JobState.DONE if row.problem is None else JobState.FAILED
