"""The rows of repairs, at most one unfinished of an account: the plan that is shown, and what was applied of it.

While a worker has something to do, the repair has a job, whose subject is the account.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from aggregates.states import State
from eventstore.change import Envelope
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Wanted
from eventstore.jobs.table import job
from eventstore.sql.database import Database
from eventstore.sql.schema import Json, Position, UtcDateTime, envelope_columns, metadata, partial_index
from eventstore.streams.buckets import account_columns, bucket_of
from replay.errors import RepairNotFoundError
from replay.repair.plan import PlanCounts


class RepairState(State):
    """States of the repair of an account."""

    VERIFYING = "verifying", "a worker compares the repo with the log, or is about to"
    PLANNED = "planned", "the plan waits for an admin's decision; nothing was changed"
    APPLYING = "applying", "a worker applies the plan, or is about to"
    DONE = (
        "done",
        "each step was applied or skipped, or there was nothing to do; the relay sends what was applied",
    )
    CANCELLED = "cancelled", "an admin ended it; what was applied before stays"
    FAILED = "failed", "it cannot go on, or the last attempt failed; what was applied before stays"


class SkipReason(State):
    """Why a step of a plan is not applied."""

    CHANGED_HERE = (
        "changed_here",
        "the track has changed since the plan: the relay sends its newest state anyway",
    )
    CHANGED_ON_PDS = "changed_on_pds", "the PDS holds another record than the plan saw"
    NOT_COMPARED = "not_compared", "it changed or could not be read while the records were compared"
    AGREES = "agrees", "the PDS holds what the log says again"


WORKED_ON: Final = (RepairState.VERIFYING, RepairState.APPLYING)
"""The states in which a worker has something to do."""
UNFINISHED: Final = (*WORKED_ON, RepairState.PLANNED)


REPAIR: Final = "repair"
MAX_NAMED_SKIPS: Final = 500
"""More are counted and not named."""
REPAIR_TTL: Final = timedelta(days=90)
"""How long a repair is shown after its end; the audit keeps it."""

repair = sa.Table(
    "repair",
    metadata,
    sa.Column("id", Position, primary_key=True, autoincrement=True),
    *account_columns(),
    sa.Column("state", sa.Text, nullable=False),
    *envelope_columns(),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("problem", sa.Text),
    sa.Column("planned_at", UtcDateTime),
    sa.Column("records", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("steps", sa.LargeBinary),
    sa.Column("digest", sa.Text),
    sa.Column("counts", Json, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False, server_default=sa.text("0")),
    sa.Column("left_out", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("unjudged", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("settled", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("applied", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("skipped", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("skips", Json, nullable=False),
    sqlite_autoincrement=True,
)
it: Final = repair.c
IS_UNFINISHED: Final = it.ended_at.is_(None)
partial_index("uq_repair_unfinished", it.did, where=IS_UNFINISHED, unique=True)

Skip = Mapping[str, Any]


def request(connection: sa.Connection, did: str, envelope: Envelope, now: datetime) -> tuple[int, bool]:
    """Request a repair, and return its id and whether it is new: an unfinished one of the account stays as it is.

    Call it under the account's append lock.
    """
    unfinished = connection.scalar(sa.select(it.id).where(it.did == did, IS_UNFINISHED))
    if unfinished is not None:
        return int(unfinished), False
    row = {"did": did, "state": RepairState.VERIFYING, **vars(envelope)}
    requested = sa.insert(repair).values(**row, requested_at=now, counts=[], skips=[]).returning(it.id)
    repair_id = int(connection.execute(requested).scalar_one())
    queue.request(connection, [Wanted(REPAIR, did, envelope=envelope)], now)
    return repair_id, True


def repair_of(
    connection: sa.Connection, repair_id: int, *, whole: bool = False, lock_of: str | None = None
) -> sa.Row[Any]:
    """Return the row; its steps and skips, which may be large, only if the `whole` of it is wanted. Raises RepairNotFoundError.

    `lock_of` names its account where it is to be locked.
    """
    query = _shown(*([it.steps, it.skips] if whole else [])).where(it.id == repair_id)
    if lock_of is not None:
        query = query.where(it.bucket == bucket_of(lock_of)).with_for_update(of=repair)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RepairNotFoundError
    return row


def repairs(
    connection: sa.Connection, *, did: str | None = None, before: int | None = None, limit: int
) -> Sequence[Any]:
    query = _shown().order_by(it.id.desc()).limit(limit)
    if did is not None:
        query = query.where(it.did == did)
    if before is not None:
        query = query.where(it.id < before)
    return connection.execute(query).all()


def begin_apply(
    connection: sa.Connection, repair_id: int, did: str, envelope: Envelope, now: datetime
) -> None:
    started = {"state": RepairState.APPLYING, **vars(envelope)}
    this = sa.update(repair).where(it.id == repair_id, it.bucket == bucket_of(did))
    connection.execute(this.values(started))
    queue.request(connection, [Wanted(REPAIR, did, envelope=envelope)], now)


def end(
    connection: sa.Connection, did: str, state: RepairState, now: datetime, problem: str | None = None
) -> None:
    """End the account's unfinished repair, and its job: a worker notices before its next steps."""
    ended = {"state": state, "ended_at": now, "problem": problem}
    connection.execute(sa.update(repair).where(it.did == did, IS_UNFINISHED).values(ended))
    queue.cancel(connection, REPAIR, did)


def unfinished_of(connection: sa.Connection, claimed: Job, large: sa.Column[Any]) -> Any:
    """Return the account's row for a job that stays claimed until the transaction ends; raises LeaseLostError."""
    queue.require_held(connection, claimed)
    return connection.execute(_shown(large).where(it.did == claimed.subject, IS_UNFINISHED)).one()


def store_plan(connection: sa.Connection, did: str, plan: Mapping[str, Any], now: datetime) -> None:
    """Store the plan of the account's unfinished repair, to be decided on; without any step the repair is done."""
    ends: dict[str, Any] = {"state": RepairState.DONE, "ended_at": now}
    if PlanCounts.of(plan["counts"]).steps:
        ends = {"state": RepairState.PLANNED}
    planned = sa.update(repair).where(it.did == did, IS_UNFINISHED).values(**plan, planned_at=now, **ends)
    connection.execute(planned)
    queue.cancel(connection, REPAIR, did)


def record_steps(
    connection: sa.Connection, row: Any, *, settled: int, applied: int, skips: Sequence[Skip]
) -> None:
    progress = {
        "settled": row.settled + settled,
        "applied": row.applied + applied,
        "skipped": row.skipped + len(skips),
        "skips": [*row.skips, *skips][:MAX_NAMED_SKIPS],
    }
    this = sa.update(repair).where(it.id == row.id, it.bucket == bucket_of(row.did))
    connection.execute(this.values(progress))


def prune_repairs(database: Database) -> int:
    with database.write() as connection:
        ended = it.ended_at <= database.now(connection) - REPAIR_TTL
        return connection.execute(sa.delete(repair).where(ended)).rowcount


def _shown(*large: sa.Column[Any]) -> sa.Select[Any]:
    """Select what is shown of repairs, with their jobs: all columns but the large ones, unless they are named."""
    of_job = sa.and_(IS_UNFINISHED, job.c.kind == REPAIR, job.c.account == it.did)
    small = [each for each in it if each.name not in {"steps", "skips", "problem"}]
    problem = sa.func.coalesce(job.c.problem, it.problem).label("problem")
    work = (job.c.due, job.c.attempts, job.c.lease_owner)
    return sa.select(*small, *large, problem, *work).select_from(repair.outerjoin(job, of_job))
