"""What operators do to jobs and repairs, to the sessions and tokens of an account, and to a track: each with its reason in the log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from application.errors import JobNotFoundError, RepairChangedError
from application.subjects import A, ChangeOn
from eventstore.coordination.commit_signals import announce
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.credentials import record_ends, revoke_usable
from outbox.operations.operators import (
    Action,
    CountChangedError,
    Operator,
    Selector,
    known,
    perform,
    record_operation,
)
from projections import outsiders
from replay.repair import jobs
from replay.repair.jobs import UNFINISHED, RepairState
from replay.repair.plan import PlanCounts

PLAN: Final = "plan_repair"
APPLY: Final = "apply_repair"
CANCEL: Final = "cancel_repair"
RETRY: Final = "retry_job"

Decide = Callable[[UnitOfWork, sa.Row[Any]], None]


def operate(log: EventLog, action: Action, which: Selector, operator: Operator, **how: Any) -> int:
    """Do what `perform` does; what an unfollowed host has shown of people without an account here is forgotten in the same unit."""
    return perform(log, action, which, operator, forget=outsiders.forget, **how)


def retry_job(log: EventLog, job_id: int, operator: Operator) -> None:
    """Try the job again at once. Raises JobNotFoundError where it runs, or is done."""

    def retry(unit: UnitOfWork) -> None:
        found = queue.retry(unit.connection, job_id, unit.now)
        if found is None:
            raise JobNotFoundError
        which = {"job": f"{found.kind} {found.subject}"}
        record_operation(unit, RETRY, which, operator, affected=1)
        announce(unit.connection, found.account)

    log.transact(operator.envelope.actor, operator.envelope, retry)


def start_repair(log: EventLog, did: str, operator: Operator) -> int:
    """Start the repair of an account with a plan, or join the unfinished one; returns its id. Raises UnknownTargetError."""

    def start(unit: UnitOfWork) -> int:
        known(unit.connection, Selector(did=did))
        repair_id, is_new = jobs.request(unit.connection, did, operator.envelope, unit.now)
        if is_new:
            record_operation(unit, PLAN, {"did": did, "repair": repair_id}, operator, affected=1)
            announce(unit.connection, did)
        return repair_id

    return log.transact(did, operator.envelope, start)


def apply_found(log: EventLog, did: str, plan: Mapping[str, Any], operator: Operator) -> tuple[int, bool]:
    """Start a repair with this plan, which its caller has shown, and have a worker apply it; returns its id and whether it is new.

    An unfinished repair of the account stays as it is.
    """

    def start(unit: UnitOfWork) -> tuple[int, bool]:
        repair_id, is_new = jobs.request(unit.connection, did, operator.envelope, unit.now)
        if is_new:
            jobs.store_plan(unit.connection, did, plan, unit.now)
            _apply(unit, jobs.repair_of(unit.connection, repair_id), operator)
        return repair_id, is_new

    return log.transact(did, operator.envelope, start)


def apply_repair(log: EventLog, repair_id: int, operator: Operator, *, digest: str, max_deletes: int) -> None:
    """Have a worker apply the plan of this digest, in the operator's name.

    Raises RepairNotFoundError, RepairChangedError, and InvalidFieldError where the plan deletes more than it may.
    """

    def apply(unit: UnitOfWork, row: sa.Row[Any]) -> None:
        if row.state != RepairState.PLANNED or row.digest != digest:
            raise RepairChangedError(row.state)
        deletes = PlanCounts.of(row.counts).deletes
        if deletes > max_deletes:
            raise InvalidFieldError("max_deletes", f"must be {deletes} or more: so many the plan deletes")
        _apply(unit, row, operator)
        announce(unit.connection, row.did)

    _decide(log, repair_id, operator, apply)


def cancel_repair(log: EventLog, repair_id: int, operator: Operator) -> None:
    """End the repair; steps that were applied stay. Raises RepairNotFoundError and RepairChangedError."""

    def cancel(unit: UnitOfWork, row: sa.Row[Any]) -> None:
        if row.state not in UNFINISHED:
            raise RepairChangedError(row.state)
        left = PlanCounts.of(row.counts).steps - row.applied - row.skipped
        jobs.end(unit.connection, row.did, RepairState.CANCELLED, unit.now)
        record_operation(unit, CANCEL, {"did": row.did, "repair": repair_id}, operator, affected=left)

    _decide(log, repair_id, operator, cancel)


def _apply(unit: UnitOfWork, row: sa.Row[Any], operator: Operator) -> None:
    jobs.begin_apply(unit.connection, row.id, row.did, operator.envelope, unit.now)
    which = {"did": row.did, "repair": row.id, "digest": row.digest}
    record_operation(unit, APPLY, which, operator, affected=PlanCounts.of(row.counts).steps)


def _decide(log: EventLog, repair_id: int, operator: Operator, decide: Decide) -> None:
    """Decide in a unit of the repair's account, which has its row locked."""
    with log.database.read() as connection:
        did = jobs.repair_of(connection, repair_id).did

    def work(unit: UnitOfWork) -> None:
        decide(unit, jobs.repair_of(unit.connection, repair_id, lock_of=did))

    log.transact(did, operator.envelope, work)


END_TOKENS: Final = "end_tokens"


def end_tokens(
    log: EventLog, did: str, operator: Operator, *, token_id: str | None = None, expected: int | None = None
) -> int:
    """End an account's sessions and tokens at once, or the one with this id and those made with it; return how many.

    The account's stream says who did, and why. Raises CountChangedError where it is not as many as the operator was shown.

    The login at the PDS continues, and what waits is still delivered.
    """

    def work(unit: UnitOfWork) -> int:
        ended = revoke_usable(unit.connection, did=did, only=token_id, now=unit.now)
        if expected not in {None, len(ended)}:
            raise CountChangedError(expected or 0, len(ended))
        if token_id is not None and not ended:
            return 0
        account = account_of(unit)
        record_ends(account, ended, at=unit.now)
        which = {"did": did, "token_id": token_id}
        filters = {name: value for name, value in which.items() if value is not None}
        account.record_operator_action(
            END_TOKENS, filters, affected=len(ended), reason=operator.reason, at=unit.now
        )
        unit.save(account)
        return len(ended)

    return log.transact(did, operator.envelope, work)


TAKEDOWN: Final = "takedown"
LIFT: Final = "lift_takedown"


@dataclass(frozen=True, kw_only=True)
class Takedown(ChangeOn[A]):
    """What is taken down, its owner, the reason, and whether the takedown ends, or refuses the bytes of a track to all accounts."""

    owner: str
    reason: str
    lift: bool = False
    with_bytes: bool = False

    def make(self, subject: A, at: datetime) -> None:
        if self.lift:
            subject.lift_takedown(self.reason, at=at)
            return
        subject.take_down(self.reason, at=at)
        if self.with_bytes and isinstance(subject, Track):
            subject.refuse_bytes(at=at)


def decide_takedown(
    log: EventLog,
    command: Takedown[A],
    operator: Operator,
    *,
    also: Callable[[UnitOfWork], None] = lambda _unit: None,
) -> bool:
    """Hide it, or show it again; return whether that changed anything. `also` runs in its owner's unit.

    The event in its owner's stream says who and why. The operator's own stream follows in a second unit, which a
    crash may leave out.
    """

    def take_down(unit: UnitOfWork) -> tuple[str, bool]:
        found = unit.load(command.aggregate, command.subject.stream_id)
        command.make(found, unit.now)
        changed = bool(unit.save(found))
        also(unit)
        return found.word, changed

    word, changed = log.transact(command.owner, operator.envelope, take_down)

    def record(unit: UnitOfWork) -> None:
        which = {"did": command.owner, f"{word}_id": command.id}
        record_operation(unit, LIFT if command.lift else TAKEDOWN, which, operator, affected=int(changed))

    log.transact(operator.envelope.actor, operator.envelope, record)
    return changed


def decide_takedown_of_outsider(
    log: EventLog, kind: str, subject_id: int, owner: str, operator: Operator, *, reason: str | None
) -> bool:
    """Hide an outsider's reaction to a track of this owner, or without a reason show it again; return whether that changed anything."""

    def take_down(unit: UnitOfWork) -> bool:
        changed = outsiders.take_down(unit.connection, kind, subject_id, reason, unit.now)
        which = {"did": owner, f"{kind}_id": subject_id}
        record_operation(unit, TAKEDOWN if reason else LIFT, which, operator, affected=int(changed))
        return changed

    return log.transact(owner, operator.envelope, take_down)
