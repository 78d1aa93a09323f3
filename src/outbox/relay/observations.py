"""Records in log and target what was observed on the PDS; only while the target's generation is the one that was read."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, case, false, select

from aggregates.published import Published
from eventstore.prepared import Prepared
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import NEVER, NO_FAILURES, PAST, mirror_target
from outbox.mirror.targets import CHANGE_TARGET, IS_TARGET, of_target
from outbox.record.dag_cbor import Record, UnencodableError, encode
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.result import Outcome, Result

target = mirror_target.c
CLEAN: Final[dict[str, Any]] = {
    "state": TargetState.IDLE,
    "reason": None,
    "attempts": 0,
    "failed_gen": 0,
    "not_before": PAST,
    "last_error": None,
    "conflict_cid": None,
    "conflict_body": None,
    "cause": None,
    **NO_FAILURES,
}
"""The columns of a target without a failure or a conflict."""
_IS_THIS_VERIFICATION: Final = target.look_at == bindparam("verified_for")
_CHANGE_VERIFIED: Final = CHANGE_TARGET.values(
    look_at=case(
        (_IS_THIS_VERIFICATION, bindparam("again_at", type_=target.look_at.type)), else_=target.look_at
    ),
    backfill=case(
        (and_(_IS_THIS_VERIFICATION, bindparam("is_over", type_=target.backfill.type)), false()),
        else_=target.backfill,
    ),
)


def set_target(connection: Connection, task: DeliveryTask, **values: Any) -> None:
    """Set columns of the task's target."""
    _setting(tuple(values)).start(connection, {**of_target(task.key), **values})


@cache
def _setting(names: Sequence[str]) -> Prepared:
    statement = _CHANGE_VERIFIED if "again_at" in names else CHANGE_TARGET
    return Prepared(lambda _: statement, [name for name in names if name in target])


def verification_columns(
    task: DeliveryTask, again_at: datetime | None = None, *, is_over: bool = True
) -> dict[str, Any]:
    """Columns of a verification that ended; a request for another that came meanwhile stays.

    The record is verified again at `again_at`, if given; until it `is_over`, the target keeps its backfill class.
    """
    return {"verified_for": task.verify_at, "again_at": again_at or NEVER, "is_over": is_over}


def subject_of(unit: UnitOfWork, task: DeliveryTask) -> Published:
    return unit.load(task.kind.aggregate, task.kind.aggregate.stream_id(task.subject_id))


def record_missing_on_pds(unit: UnitOfWork, task: DeliveryTask) -> None:
    """Record that another client deleted the record."""
    if not _is_current(unit, task):
        return
    subject = subject_of(unit, task)
    subject.record_missing(observed_at=unit.now)
    unit.save(subject)
    set_target(
        unit.connection,
        task,
        **{**CLEAN, "observed_cid": None, "observed_body": None, **verification_columns(task)},
    )


def hold_conflict(unit: UnitOfWork, result: Result) -> None:
    """Record another client's edit, and keep it beside ours until the owner decides."""
    task, remote = result.task, result.remote
    if remote is None or remote.cid is None or not _is_current(unit, task):
        return
    subject = subject_of(unit, task)
    subject.record_foreign_edit(remote.cid, observed_at=unit.now)
    unit.save(subject)
    set_target(
        unit.connection,
        task,
        state=TargetState.HELD,
        reason=MirrorReason.FOREIGN_EDIT,
        failed_gen=task.gen,
        not_before=PAST,
        **verification_columns(task),
        conflict_cid=remote.cid,
        conflict_body=encoded(remote.body),
        **NO_FAILURES,
    )


def record_withdrawn_edit(unit: UnitOfWork, task: DeliveryTask, found: str | None) -> None:
    """Record that a foreign edit or delete was taken back: else the log would say for ever that its owner has to decide."""
    if task.conflict is None and not task.detached:
        return
    subject = subject_of(unit, task)
    subject.record_foreign_edit_withdrawn(task.conflict or found, observed_at=unit.now)
    unit.save(subject)


def record_verification(unit: UnitOfWork, result: Result) -> None:
    """Record a verification that found nothing to send, and the new base for a later write, if there is one."""
    task, remote = result.task, result.remote
    values: dict[str, Any] = verification_columns(task, result.verify_at)
    if task.is_acked:  # earlier failures to verify no longer count
        values |= {"attempts": 0, "failed_gen": 0, "last_error": None, "cause": None, **NO_FAILURES}
    if result.outcome is Outcome.REBASED and remote is not None:
        if not _is_current(unit, task):
            return  # it is read again
        if (
            task.conflict is not None or task.detached
        ):  # what was found is what the log says: nothing is left to decide
            record_withdrawn_edit(unit, task, remote.cid)
            values |= CLEAN
        values |= {"observed_cid": remote.cid, "observed_body": encoded(remote.body)}
    set_target(unit.connection, task, **values)


def _is_current(unit: UnitOfWork, task: DeliveryTask) -> bool:
    """Whether the target's generation is still the task's."""
    newest = select(target.desired_gen).where(IS_TARGET)
    return unit.connection.scalar(newest, of_target(task.key)) == task.gen


def encoded(foreign: Record | None) -> bytes | None:
    """Encode another client's record; None if DAG-CBOR cannot hold it, and it stays on the PDS alone."""
    try:
        return encode(foreign) if foreign is not None else None
    except UnencodableError:
        return None
