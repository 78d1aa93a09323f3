"""The rows of repairs, at most one unfinished of an account: the plan that is shown, and what was applied of it.

While a worker has something to do, the repair has a job, whose subject is the account.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    Row,
    Select,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from eventstore.change import Envelope
from eventstore.database import Database
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Wanted
from eventstore.jobs.table import job
from eventstore.schema import Json, Position, UtcDateTime, metadata
from eventstore.states import State, Transition
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

_CANCELS: Final = "an admin cancels it"
_FAILS: Final = "the worker fails for good, or at the last attempt"

TRANSITIONS: Final = (
    Transition(None, RepairState.VERIFYING, "an admin starts a repair"),
    Transition(
        RepairState.VERIFYING, RepairState.PLANNED, "the worker, or `mastertape apply`, stores the plan"
    ),
    Transition(RepairState.VERIFYING, RepairState.DONE, "the worker finds nothing to apply"),
    Transition(RepairState.PLANNED, RepairState.APPLYING, "an admin applies the plan, by its digest"),
    Transition(RepairState.APPLYING, RepairState.DONE, "the worker has applied or skipped the last step"),
    *(Transition(before, RepairState.CANCELLED, _CANCELS) for before in UNFINISHED),
    *(Transition(before, RepairState.FAILED, _FAILS) for before in WORKED_ON),
    *(
        Transition(before, None, "the job prunes repairs that ended long ago")
        for before in (RepairState.DONE, RepairState.CANCELLED, RepairState.FAILED)
    ),
)


REPAIR: Final = "repair"
MAX_NAMED_SKIPS: Final = 500
"""More are counted and not named."""
REPAIR_TTL: Final = timedelta(days=90)
"""How long a repair is shown after its end; the audit keeps it."""

repair = Table(
    "repair",
    metadata,
    Column("id", Position, primary_key=True, autoincrement=True),
    Column("did", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("problem", Text),
    Column("planned_at", UtcDateTime),
    Column("records", Integer, nullable=False, server_default=text("0")),
    Column("steps", LargeBinary),
    Column("digest", Text),
    Column("counts", Json, nullable=False),
    Column("seconds", Float, nullable=False, server_default=text("0")),
    Column("left_out", Integer, nullable=False, server_default=text("0")),
    Column("unjudged", Integer, nullable=False, server_default=text("0")),
    Column("settled", Integer, nullable=False, server_default=text("0")),
    Column("applied", Integer, nullable=False, server_default=text("0")),
    Column("skipped", Integer, nullable=False, server_default=text("0")),
    Column("skips", Json, nullable=False),
    sqlite_autoincrement=True,
)
it: Final = repair.c
IS_UNFINISHED: Final = it.ended_at.is_(None)
Index("uq_repair_unfinished", it.did, unique=True, sqlite_where=IS_UNFINISHED, postgresql_where=IS_UNFINISHED)

Skip = Mapping[str, Any]


def request(connection: Connection, did: str, envelope: Envelope, now: datetime) -> tuple[int, bool]:
    """Request a repair, and return its id and whether it is new: an unfinished one of the account stays as it is.

    Call it under the account's append lock.
    """
    unfinished = connection.scalar(select(it.id).where(it.did == did, IS_UNFINISHED))
    if unfinished is not None:
        return int(unfinished), False
    row = {"did": did, "state": RepairState.VERIFYING, **vars(envelope)}
    requested = insert(repair).values(**row, requested_at=now, counts=[], skips=[]).returning(it.id)
    repair_id = int(connection.execute(requested).scalar_one())
    queue.request(connection, [Wanted(REPAIR, did, did, envelope=envelope)], now)
    return repair_id, True


def repair_of(
    connection: Connection, repair_id: int, *, whole: bool = False, lock: bool = False
) -> Row[Any] | None:
    """Return the row; its steps and skips, which may be large, only if the `whole` of it is wanted."""
    query = _shown(*([it.steps, it.skips] if whole else [])).where(it.id == repair_id)
    return connection.execute(query.with_for_update(of=repair) if lock else query).one_or_none()


def repairs(
    connection: Connection, *, did: str | None = None, before: int | None = None, limit: int
) -> Sequence[Any]:
    query = _shown().order_by(it.id.desc()).limit(limit)
    if did is not None:
        query = query.where(it.did == did)
    if before is not None:
        query = query.where(it.id < before)
    return connection.execute(query).all()


def begin_apply(connection: Connection, repair_id: int, did: str, envelope: Envelope, now: datetime) -> None:
    started = {"state": RepairState.APPLYING, **vars(envelope)}
    connection.execute(update(repair).where(it.id == repair_id).values(started))
    queue.request(connection, [Wanted(REPAIR, did, did, envelope=envelope)], now)


def end(
    connection: Connection, did: str, state: RepairState, now: datetime, problem: str | None = None
) -> None:
    """End the account's unfinished repair, and its job: a worker notices before its next steps."""
    ended = {"state": state, "ended_at": now, "problem": problem}
    connection.execute(update(repair).where(it.did == did, IS_UNFINISHED).values(ended))
    queue.cancel(connection, REPAIR, did)


def unfinished_of(connection: Connection, claimed: Job, large: Column[Any]) -> Any:
    """Return the account's row for a job that stays claimed until the transaction ends; raises LeaseLostError."""
    queue.require_held(connection, claimed)
    return connection.execute(_shown(large).where(it.did == claimed.subject, IS_UNFINISHED)).one()


def store_plan(connection: Connection, did: str, plan: Mapping[str, Any], now: datetime) -> None:
    """Store the plan of the account's unfinished repair, to be decided on; without any step the repair is done."""
    ends: dict[str, Any] = {"state": RepairState.DONE, "ended_at": now}
    if PlanCounts.of(plan["counts"]).steps:
        ends = {"state": RepairState.PLANNED}
    planned = update(repair).where(it.did == did, IS_UNFINISHED).values(**plan, planned_at=now, **ends)
    connection.execute(planned)
    queue.cancel(connection, REPAIR, did)


def record_steps(
    connection: Connection, row: Any, *, settled: int, applied: int, skips: Sequence[Skip]
) -> None:
    progress = {
        "settled": row.settled + settled,
        "applied": row.applied + applied,
        "skipped": row.skipped + len(skips),
        "skips": [*row.skips, *skips][:MAX_NAMED_SKIPS],
    }
    connection.execute(update(repair).where(it.id == row.id).values(progress))


def prune_repairs(database: Database) -> int:
    with database.write() as connection:
        ended = it.ended_at <= database.now(connection) - REPAIR_TTL
        return connection.execute(delete(repair).where(ended)).rowcount


def _shown(*large: Column[Any]) -> Select[Any]:
    """Select what is shown of repairs, with their jobs: all columns but the large ones, unless they are named."""
    of_job = and_(IS_UNFINISHED, job.c.kind == REPAIR, job.c.subject == it.did)
    small = [each for each in it if each.name not in {"steps", "skips", "problem"}]
    problem = func.coalesce(job.c.problem, it.problem).label("problem")
    work = (job.c.due, job.c.attempts, job.c.lease_owner)
    return select(*small, *large, problem, *work).select_from(repair.outerjoin(job, of_job))
