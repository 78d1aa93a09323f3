"""What operators see of jobs: how many there are, which, and since when none of a kind has begun."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from eventstore.jobs.table import CONDITIONS, IS_WAITING, PAST, JobState, job, job_turn, names_of
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

    `but` names the kinds that wait for what is no worker's.
    """
    # each of one table alone: Citus joins no rows of several buckets
    is_due = (IS_WAITING, row.kind.not_in(but), row.due <= now, row.lease_until <= now)
    # what is due at once was requested, or stopped, at some time
    since = sa.case((row.due > PAST, row.due), else_=sa.func.coalesce(row.stopped_at, row.requested_at))
    runs = sa.select(row.kind).where(row.lease_owner.is_not(None), row.lease_until > now).distinct()
    found = connection.execute(
        sa.select(row.kind, sa.func.min(since)).where(*is_due).group_by(row.kind)
    ).all()
    running = connection.scalars(runs).all() if found else ()
    begun = sa.select(sa.func.max(job_turn.c.served_at)).where(job_turn.c.kind == sa.bindparam("of"))
    stalled = [
        max(due, connection.scalar(begun, {"of": kind}) or due) for kind, due in found if kind not in running
    ]
    return min(stalled, default=None)
