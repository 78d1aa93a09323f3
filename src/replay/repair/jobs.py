"""The rows of repairs, at most one unfinished of an account: the plan that is shown, its progress, and the lease of its worker."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    case,
    delete,
    insert,
    select,
    text,
    tuple_,
    update,
)

from eventstore.coordination.process_names import has_ended as process_has_ended
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.schema import Json, Position, UtcDateTime, metadata
from outbox.backoff import backoff
from outbox.mirror.lanes import LeaseLostError
from replay.leased_rows import LeasedRows, unleased
from replay.repair.states import WORKED_ON, RepairState
from replay.repair.stored_plan import StoredPlan

FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 600.0
MAX_ATTEMPTS: Final = 12
"""About an hour: an admin looks on, and may start another repair."""
PROCESS_ENDED: Final = "each attempt ended with its process"
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
    Column("not_before", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("problem", Text),
    Column("planned_at", UtcDateTime),
    Column("records", Integer, nullable=False, server_default=text("0")),
    Column("steps", LargeBinary),
    Column("digest", Text),
    Column("counts", Json, nullable=False),
    Column("seconds", Float, nullable=False, server_default=text("0")),
    Column("left_out", Integer, nullable=False, server_default=text("0")),
    Column("settled", Integer, nullable=False, server_default=text("0")),
    Column("applied", Integer, nullable=False, server_default=text("0")),
    Column("skipped", Integer, nullable=False, server_default=text("0")),
    Column("skips", Json, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("lease_epoch", Integer, nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)
job: Final = repair.c
ROWS: Final = LeasedRows(repair, job.id)
IS_UNFINISHED: Final = job.ended_at.is_(None)
Index(
    "uq_repair_unfinished", job.did, unique=True, sqlite_where=IS_UNFINISHED, postgresql_where=IS_UNFINISHED
)

SHOWN: Final = tuple(each for each in job if each.name not in {"steps", "skips"})
"""The columns of a list: all but the large ones."""
Skip = Mapping[str, Any]


@dataclass(frozen=True)
class RepairJob:
    """A claimed repair; `envelope` is that of the admin who started it or, since then, applied its plan."""

    id: int
    did: str
    state: RepairState
    envelope: Envelope
    epoch: int


def request(connection: Connection, did: str, envelope: Envelope, now: datetime) -> tuple[int, bool]:
    """Request a repair, and return its id and whether it is new: an unfinished one of the account stays as it is.

    Call it under the account's append lock.
    """
    unfinished = connection.scalar(select(job.id).where(job.did == did, IS_UNFINISHED))
    if unfinished is not None:
        return int(unfinished), False
    requested = {"requested_at": now, "not_before": now, "lease_until": now, "counts": [], "skips": []}
    row = {"did": did, "state": RepairState.VERIFYING, **vars(envelope), **requested}
    return int(connection.execute(insert(repair).values(row).returning(job.id)).scalar_one()), True


def repair_of(
    connection: Connection, repair_id: int, *, whole: bool = False, lock: bool = False
) -> Row[Any] | None:
    """Return the row; its steps and skips, which may be large, only if the `whole` of it is wanted."""
    query = select().add_columns(*(job if whole else SHOWN)).where(job.id == repair_id)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def repairs(
    connection: Connection, *, did: str | None = None, before: int | None = None, limit: int
) -> Sequence[Any]:
    """Return repairs, the newest first, without their steps."""
    query = select(*SHOWN).order_by(job.id.desc()).limit(limit)
    if did is not None:
        query = query.where(job.did == did)
    if before is not None:
        query = query.where(job.id < before)
    return connection.execute(query).all()


def begin_apply(connection: Connection, repair_id: int, envelope: Envelope, now: datetime) -> None:
    """Have a worker apply the plan, in the name of `envelope`."""
    started = {"state": RepairState.APPLYING, **vars(envelope), "not_before": now, "attempts": 0}
    connection.execute(update(repair).where(job.id == repair_id).values(started))


def cancel(connection: Connection, repair_id: int, now: datetime) -> None:
    """End it; the worker notices before its next steps."""
    ended = {"state": RepairState.CANCELLED, "ended_at": now, **unleased(now)}
    connection.execute(update(repair).where(job.id == repair_id).values(ended))


def claim(
    database: Database,
    *,
    owner: str,
    lease: timedelta,
    has_ended: Callable[[str], bool] = process_has_ended,
    running: Collection[int] = (),
) -> RepairJob | None:
    """Claim a repair that is due and has no worker, or one whose lease is over or whose process is proved to have ended.

    None where there is none. Those that are `running` in this process are left out.
    """
    with database.read_committed() as connection:  # most polls find nothing, and need no write transaction
        now = database.now(connection)
        waiting = connection.execute(_WAITING.where(job.not_before <= now, job.id.not_in(running))).all()
    free = [
        (each.id, each.lease_epoch)
        for each in waiting
        if each.lease_until <= now or has_ended(each.lease_owner or "")
    ]
    if not free:
        return None
    with database.write() as connection:
        now = database.now(connection)
        is_free = tuple_(job.id, job.lease_epoch).in_(free)
        claimed = ROWS.claim(connection, _WAITING.where(is_free), owner=owner, until=now + lease)
        if claimed is None:
            return None
        row, epoch = claimed
        repair_job = RepairJob(
            row.id, row.did, RepairState(row.state), Envelope(row.actor, row.via, row.request_id), epoch
        )
        # counted before it begins: an attempt that ends its process does not come back to count itself
        _change(connection, repair_job, attempts=row.attempts + 1, not_before=now + _pause(row.attempts))
        if row.attempts < MAX_ATTEMPTS:
            return repair_job
        _change(connection, repair_job, **_failed(now, row.problem or PROCESS_ENDED))
    return None


def extend(database: Database, claimed: RepairJob, lease: timedelta) -> bool:
    """Extend the lease; False when the claim was lost, or the repair cancelled."""
    with database.write() as connection:
        if _change(connection, claimed, lease_until=database.now(connection) + lease):
            return True
        # the work's own last unit has ended the lease: it is about to return
        has_ended = job.state.in_((RepairState.PLANNED, RepairState.DONE))
        same = (job.id == claimed.id, job.lease_epoch == claimed.epoch, has_ended)
        return connection.scalar(select(job.id).where(*same)) is not None


def release(database: Database, claimed: RepairJob) -> None:
    """End the lease as if the attempt had not begun, so that another worker can claim it at once."""
    with database.write() as connection:
        now = database.now(connection)
        begun = {
            "attempts": case((job.attempts > 0, job.attempts - 1), else_=0)
        }  # 0 where steps were applied
        _change(connection, claimed, not_before=now, **begun, **unleased(now))


def store_plan(database: Database, claimed: RepairJob, plan: StoredPlan, *, records: int) -> None:
    """Store the plan for an admin to decide on; without any step the repair is done. Raises LeaseLostError."""
    with database.write() as connection:
        now = database.now(connection)
        planned = {"planned_at": now, "records": records, "attempts": 0, "problem": None, **unleased(now)}
        what = {"steps": plan.steps, "digest": plan.digest, "counts": list(plan.groups)}
        how = {"seconds": plan.seconds, "left_out": plan.left_out}
        ends: dict[str, Any] = {"state": RepairState.PLANNED}
        if not plan.does_anything:
            ends = {"state": RepairState.DONE, "ended_at": now}
        if not _change(connection, claimed, **planned, **what, **how, **ends):
            raise LeaseLostError


def held(connection: Connection, claimed: RepairJob) -> Any:
    """Return the row, locked until the transaction ends; raises LeaseLostError if it is another worker's now, or cancelled."""
    row = connection.execute(select(*SHOWN, job.skips).where(_held(claimed)).with_for_update()).one_or_none()
    if row is None:
        raise LeaseLostError
    return row


def record_steps(
    connection: Connection, row: Any, *, settled: int, applied: int, skips: Sequence[Skip]
) -> None:
    """Record in the unit that applied them how many steps are settled, and which were skipped."""
    progress = {
        "settled": row.settled + settled,
        "applied": row.applied + applied,
        "skipped": row.skipped + len(skips),
        "skips": [*row.skips, *skips][:MAX_NAMED_SKIPS],
        "problem": None,
        "attempts": 0,
    }
    connection.execute(update(repair).where(job.id == row.id).values(progress))


def finish(connection: Connection, row: Any, now: datetime) -> None:
    """Record in the unit of the last steps that the plan is applied."""
    ended = {"state": RepairState.DONE, "ended_at": now, **unleased(now)}
    connection.execute(update(repair).where(job.id == row.id).values(ended))


def fail(database: Database, claimed: RepairJob, problem: str, *, final: bool) -> None:
    """Record the problem, and schedule another attempt unless it is `final` or was the last one."""
    with database.write() as connection:
        now = database.now(connection)
        # in the row: steps that were applied since the claim have begun the count anew
        attempts = connection.scalar(select(job.attempts).where(_held(claimed)).with_for_update())
        if attempts is None:
            return
        attempts = max(1, attempts)
        if final or attempts >= MAX_ATTEMPTS:
            _change(connection, claimed, attempts=attempts, **_failed(now, problem))
        else:
            again = {"attempts": attempts, "not_before": now + _pause(attempts - 1), "problem": problem}
            _change(connection, claimed, **again, **unleased(now))


def prune_repairs(database: Database) -> int:
    """Delete repairs that ended more than REPAIR_TTL ago; returns how many."""
    with database.write() as connection:
        ended = job.ended_at <= database.now(connection) - REPAIR_TTL
        return connection.execute(delete(repair).where(ended)).rowcount


def _pause(attempts: int) -> timedelta:
    return backoff(attempts, first=FIRST_PAUSE_SECONDS, cap=MAX_PAUSE_SECONDS)


def _failed(now: datetime, problem: str) -> dict[str, Any]:
    return {"state": RepairState.FAILED, "ended_at": now, "problem": problem, **unleased(now)}


def _held(claimed: RepairJob) -> ColumnElement[bool]:
    return ROWS.held(claimed.id, claimed.epoch)


def _change(connection: Connection, claimed: RepairJob, **values: Any) -> bool:
    return ROWS.change(connection, claimed.id, claimed.epoch, values)


# Built once (CONTRIBUTING.md).

_WAITING: Final = (
    select(*SHOWN).where(IS_UNFINISHED, job.state.in_(WORKED_ON)).order_by(job.not_before, job.id)
)
