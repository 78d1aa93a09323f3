"""The result of a delivery, which settle() stores, with its line in the log, and what it observed on the PDS, which the log and the target keep."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Published, Subject
from aggregates.states import State
from eventstore.sql.prepared import Prepared
from eventstore.sql.prepared import Result as Started
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.newest import IS_STALE
from outbox.lists.references import REFERENCES, request_and_announce
from outbox.mirror.lanes import Lane
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import NEVER, NO_FAILURES, PAST, target
from outbox.mirror.targets import CHANGE_TARGET, IS_TARGET, PUT, of_target
from outbox.pds.client import RecordKey, Remote
from outbox.pds.verdict import Kind, Verdict
from outbox.record.dag_cbor import Record, UnencodableError, encode
from outbox.record.kind import GENERATION
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.journal import ENDING, record_adopted

logger: Final = logging.getLogger("mastertape.outbox")

DONE: Final = Verdict(Kind.DONE)
KINDS_OF_ONE_RECORD: Final = frozenset({Kind.REJECTED, Kind.BLOB_MISSING, Kind.BROKEN})


SCOPE_ERRORS: Final = frozenset({"ScopeMissingError", "insufficient_scope"})
"""The login is good, and does not allow this."""


def verdict_of(task: DeliveryTask, verdict: Verdict) -> Verdict:
    """Return what a verdict means for this record: a login that may do without its kind goes on with all others."""
    if not (task.kind.is_optional and verdict.error in SCOPE_ERRORS):
        return verdict
    return replace(verdict, kind=Kind.REJECTED, error=MirrorReason.NEEDS_CONSENT)


class Outcome(State):
    """How the delivery of one target ended, or what a comparison with the PDS found; shown in logs and metrics."""

    DELIVERED = "delivered", "the PDS has the generation"
    CANCELLED = "cancelled", "the record was deleted before anything was sent, or is not ours to delete"
    HELD = "held", "another client changed the record: its owner decides"
    TAKEN_OVER = (
        "taken_over",
        "another client changed the record as its owner need not decide: the log has it",
    )
    MISSING = "missing", "another client deleted the record"
    WAITING = "waiting", "the login does not allow such records: nothing is sent before the next sign-in"
    SETTLING = "settling", "a delete waits until no earlier create can land after it"
    SEEN = "seen", "it is as last observed, or not ours to change: nothing is sent"
    REBASED = "rebased", "it is ours, or differs only in other clients' fields: it is written on top of"
    FAILED = "failed", "the verdict says what to do"


@dataclass(frozen=True)
class Result:
    task: DeliveryTask
    outcome: Outcome
    verdict: Verdict = DONE
    attempt_id: int | None = None
    remote: Remote | None = None
    verify_at: datetime | None = None
    """When to verify the record again, since a late create may land."""
    is_refuted: bool = False
    """True where the PDS lacked a write of the record that it had acknowledged, and no other client can have changed it."""

    @property
    def results(self) -> Sequence["Result"]:
        """The one result, as a batch has several."""
        return (self,)

    @property
    def attempt_ids(self) -> Sequence[int]:
        """The one attempt, if anything was sent."""
        return (self.attempt_id,) if self.attempt_id is not None else ()

    @property
    def is_answered(self) -> bool:
        return self.outcome not in {Outcome.FAILED, Outcome.CANCELLED, Outcome.WAITING}

    @property
    def only_acknowledges(self) -> bool:
        """Whether to settle it means to acknowledge what was sent, and to append no event."""
        was_undecided = self.task.conflict is not None or self.task.detached
        return self.outcome is Outcome.DELIVERED and self.attempt_id is not None and not was_undecided

    @property
    def confirmed_cid(self) -> str | None:
        """The CID that the PDS says the put made."""
        return self.verdict.cid if self.task.op == PUT else None

    @property
    def observed(self) -> tuple[str | None, bytes | None]:
        """The CID and the encoded body of what the PDS has now: what was read there, else what it was sent."""
        if self.remote is not None and self.remote.cid not in {None, self.task.request_cid}:
            return self.remote.cid, encoded(self.remote.body)
        return self.confirmed_cid or self.task.request_cid, self.task.encoded

    @property
    def is_mismatch(self) -> bool:
        """Whether the PDS stored another record than it was sent."""
        delivered = self.outcome is Outcome.DELIVERED
        return delivered and self.confirmed_cid not in {None, self.task.request_cid}

    @property
    def ends_run(self) -> bool:
        """Whether the whole lane has to wait: its other targets would fail alike."""
        if self.outcome is not Outcome.FAILED:
            return False
        if self.verdict.kind is Kind.AMBIGUOUS:
            return self.verdict.concerns_host
        return self.verdict.kind not in KINDS_OF_ONE_RECORD


EXPECTED_OUTCOMES: Final = frozenset({
    Outcome.DELIVERED,
    Outcome.CANCELLED,
    Outcome.TAKEN_OVER,
    Outcome.SEEN,
    Outcome.WAITING,
    Outcome.SETTLING,
})  # fmt: skip
"""Logged at debug level; all others at warning level."""
NEXT: Final[Mapping[Kind, str]] = {
    Kind.DONE: "read again",
    Kind.READ_BACK: "read and tried again by itself",
    Kind.AMBIGUOUS: "tried again by itself, with growing pauses",
    Kind.NOT_SENT: "tried again by itself, with growing pauses",
    Kind.BLOB_MISSING: "the audio is uploaded first",
    Kind.REJECTED: "waits for another change of the record, or for `mastertape redrive`",
    Kind.PACED: "waits until the limit of the PDS is reset",
    Kind.SIGN_IN: "waits for its owner to sign in",
    Kind.INACTIVE: "waits until the account is active; it is probed",
    Kind.FULL: "waits until the account has room; it is tried again each day",
    Kind.MOVED: "waits until a probe has found the account",
    Kind.BROKEN: "tried again by itself, with growing pauses",
}


def acknowledged(results: Sequence[Result]) -> dict[Subject, int]:
    """Return the generations of subjects that their PDS has now."""
    return {
        each.task.subject: each.task.gen
        for each in results
        if each.outcome is Outcome.DELIVERED and not each.task.is_former
    }


def written(results: Sequence[Result]) -> list[Subject]:
    """Return the subjects whose newest generation the PDS says to have written."""
    return [
        each.task.subject
        for each in results
        if each.only_acknowledges and each.task.is_open and not each.task.is_former
    ]


def log_result(lane: Lane, result: Result) -> None:
    task, verdict = result.task, result.verdict
    facts = {
        **lane.log_fields,
        "uri": task.key.uri,
        "generation": task.gen,
        "outcome": result.outcome.value,
        "kind": verdict.kind.value,
        "error": verdict.error,
        "status": verdict.status,
    }
    if result.is_mismatch:
        mismatch = {"uri": task.key.uri, "expected": task.request_cid, "returned": result.confirmed_cid}
        logger.error("cid_mismatch", extra={**lane.log_fields, **mismatch})
    if result.outcome is Outcome.FAILED:
        facts["next"] = NEXT[result.verdict.kind]
        logger.warning("not_delivered", extra=facts)
        return
    level = logging.DEBUG if result.outcome in EXPECTED_OUTCOMES else logging.WARNING
    logger.log(level, "settled", extra=facts)


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
_IS_THIS_VERIFICATION: Final = target.look_at == sa.bindparam("verified_for")
_CHANGE_VERIFIED: Final = CHANGE_TARGET.values(
    look_at=sa.case(
        (_IS_THIS_VERIFICATION, sa.bindparam("again_at", type_=target.look_at.type)), else_=target.look_at
    ),
    backfill=sa.case(
        (sa.and_(_IS_THIS_VERIFICATION, sa.bindparam("is_over", type_=target.backfill.type)), sa.false()),
        else_=target.backfill,
    ),
)
_CHANGES: Final = {
    (False, False): CHANGE_TARGET,
    (False, True): CHANGE_TARGET.returning(IS_STALE),
    (True, False): _CHANGE_VERIFIED,
    (True, True): _CHANGE_VERIFIED.returning(IS_STALE),
}
"""By whether a verification ended, and whether the CID is set. One that returns something is made before any is compiled:
SQLAlchemy keeps of a compiled one that it returns nothing, and copies that."""


def set_target(connection: sa.Connection, task: DeliveryTask, **values: Any) -> Started | None:
    """Set columns, and end an attempt on PostgreSQL where the values of ENDING are among them.

    Where the CID is, `is_listed` says of what is returned whether lists refer to another one.
    """
    started = _setting(tuple(values)).start(connection, {**of_target(task.key), **values})
    return started if "observed_cid" in values else None


def is_listed(changed: Started | None) -> bool:
    return changed is not None and any(row.is_stale for row in changed.all())


@cache
def _setting(names: Sequence[str]) -> Prepared:
    statement = _CHANGES["again_at" in names, "observed_cid" in names]
    if "attempt_id" in names:
        statement = statement.add_cte(ENDING)
    return Prepared(lambda _: statement, [name for name in names if name in target])


def verification_columns(
    task: DeliveryTask, again_at: datetime | None = None, *, is_over: bool = True
) -> dict[str, Any]:
    """Columns of a verification that ended; a request for another that came meanwhile stays.

    The record is verified again at `again_at`, if given; until it `is_over`, the target keeps its backfill class.
    """
    return {"verified_for": task.verify_at, "again_at": again_at or NEVER, "is_over": is_over}


def subject_of(unit: UnitOfWork, task: DeliveryTask) -> Published:
    return unit.load(task.kind.aggregate, task.subject.stream_id)


def record_missing_on_pds(unit: UnitOfWork, task: DeliveryTask) -> Started | None:
    if not _is_current(unit, task):
        return None
    subject = subject_of(unit, task)
    subject.record_missing(observed_at=unit.now)
    unit.save(subject)
    absent = {"observed_cid": None, "observed_body": None}
    return set_target(unit.connection, task, **CLEAN, **absent, **verification_columns(task))


def record_foreign_version(unit: UnitOfWork, result: Result) -> None:
    """Record what another client wrote: held beside ours until the owner decides, or taken over where nothing is to decide."""
    task, remote = result.task, result.remote
    if remote is None or remote.cid is None or not _is_current(unit, task):
        return
    if result.outcome is Outcome.TAKEN_OVER and remote.body is not None and encoded(remote.body) is not None:
        _take_over(unit, task, remote.cid, remote.body)
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


def _take_over(unit: UnitOfWork, task: DeliveryTask, cid: str, theirs: Record) -> None:
    subject, kind = subject_of(unit, task), task.kind
    kind.take_over(subject, task.observed or {}, theirs, cid, at=unit.now)
    *_, change = unit.save(subject)
    found = {"observed_cid": cid, "observed_body": encoded(theirs)}
    set_target(unit.connection, task, **CLEAN, **verification_columns(task), **found)
    # what differs in its references alone is written once more
    if kind.merged(kind.record_of(subject, 0), theirs) == {**theirs, GENERATION: 0}:
        acknowledge_as_found(unit.connection, task.key, change.position, (cid, theirs), unit.now)
    # its new items may refer to older records
    request_and_announce(unit.connection, REFERENCES, task.key.did, unit.now)


def acknowledge_as_found(
    connection: sa.Connection, key: RecordKey, gen: int, record: tuple[str, Record], now: datetime
) -> None:
    """Acknowledge `record`, a CID and a body, as delivered: nothing is written before the subject changes."""
    cid, body = record
    found = {"acked_gen": gen, "acked_at": now, "observed_cid": cid, "observed_body": encoded(body)}
    connection.execute(CHANGE_TARGET.values(**CLEAN, **found, ever_sent=True), of_target(key))
    record_adopted(connection, key, gen, cid, now)


def record_withdrawn_edit(unit: UnitOfWork, task: DeliveryTask, found: str | None) -> None:
    """Record that a foreign edit or delete was taken back: else the log would say for ever that its owner has to decide."""
    if task.conflict is None and not task.detached:
        return
    subject = subject_of(unit, task)
    subject.record_foreign_edit_withdrawn(task.conflict or found, observed_at=unit.now)
    unit.save(subject)


def record_verification(unit: UnitOfWork, result: Result) -> Started | None:
    """Record a verification that found nothing to send, and the new base for a later write, if there is one."""
    task, remote = result.task, result.remote
    values: dict[str, Any] = verification_columns(task, result.verify_at)
    if task.is_acked:  # earlier failures to verify no longer count
        values |= {"attempts": 0, "failed_gen": 0, "last_error": None, "cause": None, **NO_FAILURES}
    if result.outcome is Outcome.REBASED and remote is not None:
        if not _is_current(unit, task):
            return None  # it is read again
        # what was found is what the log says: nothing is left to decide
        if task.conflict is not None or task.detached:
            record_withdrawn_edit(unit, task, remote.cid)
            values |= CLEAN
        values |= {"observed_cid": remote.cid, "observed_body": encoded(remote.body)}
    return set_target(unit.connection, task, **values)


def _is_current(unit: UnitOfWork, task: DeliveryTask) -> bool:
    newest = sa.select(target.desired_gen).where(IS_TARGET)
    return unit.connection.scalar(newest, of_target(task.key)) == task.gen


def encoded(foreign: Record | None) -> bytes | None:
    """Encode another client's record; None if DAG-CBOR cannot hold it, and it stays on the PDS alone."""
    try:
        return encode(foreign) if foreign is not None else None
    except UnencodableError:
        return None
