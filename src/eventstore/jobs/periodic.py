"""Periodic jobs: one kind, whose subjects are their names. Their rows stay, and say how the newest run goes or ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from eventstore.coordination.process_names import has_ended
from eventstore.database import Database
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import job
from eventstore.states import State

PERIODIC: Final = "periodic"


class RunState(State):
    """How the newest run of a periodic job goes, or ended."""

    NEW = "new", "no run is known"
    RUNNING = "running", "a process runs it"
    DONE = "done", "the last run ended as it should"
    FAILED = "failed", "the last run ended with an error; it is tried again after a pause"
    CUT_OFF = "cut_off", "its process ended before the run did; another one runs it soon"


@dataclass(frozen=True)
class JobRun:
    """The newest run of a job: `ended_at` and `problem` are of the last one that ended, `failing_since` of the first that failed.

    `next_at` is when the job is due again, `holder` the process that runs it, or ran it last.
    """

    name: str
    state: RunState
    began_at: datetime | None
    ended_at: datetime | None
    problem: str | None
    failing_since: datetime | None
    next_at: datetime | None
    holder: str | None


def request_periodic(database: Database, names: Iterable[str]) -> None:
    """Make those due that have never run; each takes turns of its own."""
    with database.write() as connection:
        wanted = [Wanted(PERIODIC, name, account=name) for name in names]
        queue.request(connection, wanted, database.now(connection))


def runs(connection: Connection, now: datetime) -> list[JobRun]:
    """Return the newest run of each job, by all processes."""
    rows = connection.execute(select(job).where(job.c.kind == PERIODIC).order_by(job.c.id))
    return [_run(row, now) for row in rows]


def _run(row: Row[Any], now: datetime) -> JobRun:
    state = _state_of(row, now)
    return JobRun(
        row.subject,
        state,
        began_at=row.began_at,
        ended_at=row.stopped_at,
        problem=row.problem,
        failing_since=row.failing_since,
        next_at=None if state is RunState.RUNNING else max(row.due, row.lease_until),
        holder=row.began_by,
    )


def _state_of(row: Row[Any], now: datetime) -> RunState:
    if row.began_at is None:
        return RunState.NEW
    if row.lease_owner is not None:
        is_over = row.lease_until <= now or has_ended(row.lease_owner)
        return RunState.CUT_OFF if is_over else RunState.RUNNING
    return RunState.DONE if row.problem is None else RunState.FAILED
