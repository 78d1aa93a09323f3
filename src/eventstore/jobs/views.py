"""What operators see of jobs: how many there are, which, and since when none of a kind has begun."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from eventstore.jobs.table import (
    CONDITIONS,
    IS_LEASED,
    IS_QUEUED,
    IS_UNQUEUED,
    PAST,
    JobState,
    job,
    job_turn,
    names_of,
)
from eventstore.sql.database import count_up_to_limit

row: Final = job.c


def count_jobs(connection: sa.Connection) -> list[tuple[str, JobState, int]]:
    """Count the jobs of each kind that wait, run or have failed, each up to MAX_COUNTED."""
    return [
        (kind, state, count_up_to_limit(connection, sa.select(row.id).where(row.kind == kind, condition)))
        for kind in names_of(connection, row.kind)
        for state, condition in CONDITIONS.items()
    ]


def jobs(
    connection: sa.Connection, *, kind: str | None, state: str | None, before: int | None = None, limit: int
) -> Sequence[sa.RowMapping]:
    """Return jobs, the newest first, of a kind and in a state if these are given; a row's `state` is the one that is shown."""
    shown = [each for each in row if each is not row.state]
    states = sa.case(
        *((condition, sa.literal(each, sa.Text)) for each, condition in CONDITIONS.items()), else_=row.state
    )
    query = sa.select(*shown, states.label("state")).where(
        row.kind.in_([kind] if kind else names_of(connection, row.kind))
    )
    if state is not None:
        query = query.where(CONDITIONS.get(JobState(state), row.state == state))
    if before is not None:
        query = query.where(row.id < before)
    return connection.execute(query.order_by(row.id.desc()).limit(limit)).mappings().all()


def stalled_since(connection: sa.Connection, now: datetime, *, but: Sequence[str] = ()) -> datetime | None:
    """Return since when jobs of some kind are due, and none of that kind has begun or runs; None where there is no such kind.

    `but` names the kinds that wait for what is no worker's. Of each kind the jobs are read that are next, however many wait.
    """
    kinds = [kind for kind in names_of(connection, row.kind) if kind not in but]
    found = (_stalled_since(connection, kind, now) for kind in kinds)
    return min((since for since in found if since is not None), default=None)


NEXT_ACCOUNTS: Final = 10
"""Whose jobs are read: some may have none any more (table.py)."""
_turn: Final = job_turn.c
# what is due at once was requested, or stopped, at some time
_SINCE: Final = sa.case((row.due > PAST, row.due), else_=sa.func.coalesce(row.stopped_at, row.requested_at))


def _stalled_since(connection: sa.Connection, kind: str, now: datetime) -> datetime | None:
    # each of one table alone: Citus joins no rows of several buckets
    is_due = (row.kind == kind, row.due <= now, row.lease_until <= now)
    first = sa.select(_SINCE).where(*is_due).order_by(row.due, row.id).limit(1)
    ready = sa.select(_turn.account).where(_turn.kind == kind, _turn.ready)
    turns = ready.order_by(_turn.rank, _turn.served_at, _turn.account).limit(NEXT_ACCOUNTS)
    next_jobs = [first.where(IS_UNQUEUED)]
    next_jobs += [first.where(IS_QUEUED, row.account == each) for each in connection.scalars(turns).all()]
    due = [since for each in next_jobs if (since := connection.scalar(each)) is not None]
    runs = sa.select(row.id).where(row.kind == kind, IS_LEASED, row.lease_until > now).limit(1)
    if not due or connection.scalar(runs) is not None:
        return None
    begun = connection.scalar(sa.select(sa.func.max(_turn.served_at)).where(_turn.kind == kind))
    latest: datetime = max(min(due), begun or PAST)
    return latest
