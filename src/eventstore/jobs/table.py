"""The rows of jobs, one for each kind, subject and account, and the turns that accounts take."""

from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.states import State
from eventstore.sql.schema import Json, Position, UtcDateTime, envelope_columns, metadata, partial_index
from eventstore.streams.buckets import account_columns

PAST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAST: Final = sa.text("'1970-01-01 00:00:00.000000'")
_ZERO: Final = sa.text("0")


class JobState(State):
    """States of a job."""

    IDLE = "idle", "none was requested"
    WAITING = "waiting", "waits for a worker, or for the next attempt"
    RUNNING = "running", "a worker holds the lease"
    DONE = "done", "the worker has finished it; of most kinds no row is kept"
    FAILED = "failed", "it cannot succeed, or the last attempt failed"


UNFINISHED: Final = frozenset({JobState.WAITING, JobState.RUNNING})


job: Final = sa.Table(
    "job",
    metadata,
    sa.Column("id", Position, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    *account_columns("account", server_default=sa.text("''")),  # whose turn it takes
    sa.Column("host", sa.Text, nullable=False, server_default=sa.text("''")),  # that it sends requests to
    sa.Column("state", sa.Text, nullable=False, server_default=sa.text(f"'{JobState.WAITING}'")),
    sa.Column("due", UtcDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=_ZERO),
    sa.Column("problem", sa.Text),
    sa.Column("failing_since", UtcDateTime),
    sa.Column("first_error", sa.Text),
    sa.Column("progress", Json),
    *envelope_columns(),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("began_at", UtcDateTime),
    sa.Column("began_by", sa.Text),
    sa.Column("stopped_at", UtcDateTime),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    sa.Column("lease_epoch", sa.Integer, nullable=False, server_default=_ZERO),
    sa.Column("queued", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("kind", "subject", "account"),
    sqlite_autoincrement=True,
    implicit_returning=False,  # a request may insert nothing
)
"""`state` is waiting, done or failed; one that waits and has an owner is running. `attempts` are those begun in a row: an
attempt counts when it is claimed, so that work which ends its process is not tried for ever. The newest attempt was begun
at `began_at` by the process `began_by`; the last one that ended did so at `stopped_at`, and the job as a whole at `ended_at`.
A job that was found due is `queued` until it is claimed."""

job_turn: Final = sa.Table(
    "job_turn",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    *account_columns("account", primary_key=True),
    sa.Column("served_at", UtcDateTime, nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("rank", sa.Integer, nullable=False, server_default=_ZERO),
    sa.Index("ix_job_turn_served", "kind", "served_at", "account"),
)
"""When an account's job of a kind was claimed last, or its first one requested: the longest ago is next.

A turn is `ready` while the account has a queued job. Claims alone change this, one of a kind after the other: where another
transaction has removed the job, the turn stays ready until the next claim for the account, or until turns are pruned."""

# Written out, so that PostgreSQL knows the indexes' conditions in a prepared statement too.
IS_WAITING: Final = job.c.state == sa.literal_column(f"'{JobState.WAITING}'")
IS_LEASED: Final = job.c.lease_owner.is_not(None)
IS_QUEUED: Final = sa.and_(IS_WAITING, job.c.queued)
IS_UNQUEUED: Final = sa.and_(IS_WAITING, ~job.c.queued)
partial_index("ix_job_queued", job.c.kind, job.c.account, job.c.due, job.c.id, where=IS_QUEUED)
partial_index("ix_job_unqueued", job.c.kind, job.c.due, job.c.id, where=IS_UNQUEUED)
partial_index("ix_job_leased", job.c.kind, where=IS_LEASED)
sa.Index(
    "ix_job_turn_ready",
    *(job_turn.c.kind, job_turn.c.rank, job_turn.c.served_at, job_turn.c.account),
    sqlite_where=sa.text("ready = 1"),  # as queries have it
    postgresql_where=job_turn.c.ready,
)
sa.Index("ix_job_state", job.c.kind, job.c.state, job.c.requested_at)
sa.Index("ix_job_account", job.c.account)

CONDITIONS: Final = {
    JobState.RUNNING: sa.and_(IS_WAITING, IS_LEASED),
    JobState.WAITING: sa.and_(IS_WAITING, job.c.lease_owner.is_(None)),
    JobState.FAILED: job.c.state == JobState.FAILED,
}


def names_of(connection: sa.Connection, kind: sa.ColumnElement[str]) -> list[str]:
    """Return the kinds in this column, each found by its index: there may be very many rows of one."""
    following, found = sa.select(sa.func.min(kind)).where(kind > sa.bindparam("last")), [""]
    while (name := connection.scalar(following, {"last": found[-1]})) is not None:
        found.append(name)
    return found[1:]


def state_of(row: sa.Row[Any] | sa.RowMapping | None) -> JobState:
    """Return the state that a row of `job` says; no row is idle."""
    if row is None:
        return JobState.IDLE
    found = row if isinstance(row, sa.RowMapping) else row._mapping  # noqa: SLF001 - SQLAlchemy's way to a row's columns
    if found["state"] == JobState.WAITING and found["lease_owner"] is not None:
        return JobState.RUNNING
    return JobState(found["state"])
