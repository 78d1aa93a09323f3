"""Settles a delivery: its result goes into log, target, attempt and lane in one transaction, fenced by the lane's epoch.

1. lock the lane and check its epoch.
2. close the attempt.
3. set the target's columns by outcome; a failure also backs off, paces or parks the lane.
4. clear the lane's failures and its probe, unless the delivery failed.
5. return what the answer says of the host: its row is changed in a transaction of its own, after this one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import WithBlob
from aggregates.published_events import PublishedEvent
from eventstore.change import Change
from eventstore.coordination.backoff import CAP_SECONDS, MAX_FUTILE_PAUSE_SECONDS, backoff
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.prepared import Result as Started
from eventstore.sql.prepared import pipelined
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.references import refresh_at_once
from outbox.mirror.failure_causes import Cause, error_text
from outbox.mirror.hosts import HostReport, changes_host
from outbox.mirror.lanes import Lane, back_off, change_lane, lock_lane, note_limits
from outbox.mirror.namespace_moves import clear_former
from outbox.mirror.parking import PROBE_AFTER_FAILING, clear_probe, park, request_probe
from outbox.mirror.requeue import reverify
from outbox.mirror.states import LaneState, MirrorReason, TargetState, UnsentOutcome
from outbox.mirror.tables import NEVER, PAST, blob_job, upload
from outbox.mirror.targets import blob_row, is_about, upsert
from outbox.pds.verdict import NO_CONNECTION, NO_CONNECTION_PAUSE, PARKS, Kind, Verdict
from outbox.relay.batch import SentBatch
from outbox.relay.delivery import CONTENDED
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.journal import (
    close_attempts,
    ending,
    first_of_same_errors,
    is_fault_of_record_alone,
    record_unsent,
)
from outbox.relay.result import (
    CLEAN,
    Outcome,
    Result,
    is_listed,
    record_foreign_version,
    record_missing_on_pds,
    record_verification,
    record_withdrawn_edit,
    set_target,
    subject_of,
    verification_columns,
)

MAX_CONTENDED_PAUSE_SECONDS: Final = 3600.0
"""The longest pause of a record that the PDS neither shows nor lets us write: another client's that was taken down."""


Then = Callable[[sa.Connection, datetime, HostReport | None], None]
"""What follows in the transaction that settles, which holds the lane's lock, at its time; with the report for the host's row, if that has to change."""


def settle(
    log: EventLog,
    lane: Lane,
    delivered: Result | SentBatch,
    then: Then = lambda *_: None,
) -> HostReport | None:
    """Settle what was delivered, and do what comes `then` in the same transaction; returns the report for the host's row, if any.

    All attempts of a batch end alike, and those of its records that have a result are settled. Raises LeaseLostError, and
    writes nothing, when another relay holds the lane.
    """

    def work(connection: sa.Connection, unit: UnitOfWork | None = None) -> HostReport | None:
        now, report = _settle(log.database, connection, lane, delivered, unit)
        then(connection, now, report)
        return report

    if isinstance(delivered, Result) and delivered.only_acknowledges:
        with suppress(ListedError):
            return log.transact_without_events(work, begins=True)
    return log.transact(lane.did, lane.envelope, lambda unit: work(unit.connection, unit))


def _settle(
    database: Database,
    connection: sa.Connection,
    lane: Lane,
    delivered: Result | SentBatch,
    unit: UnitOfWork | None,
) -> tuple[datetime, HostReport | None]:
    has_no_failures, now = lock_lane(database, connection, lane)
    # a pipeline takes no queries of SQLAlchemy's own, and a failure asks the database some
    is_plain = (unit is None or isinstance(delivered, SentBatch)) and all(
        each.outcome is Outcome.DELIVERED and not _is_read_back(lane, each) for each in delivered.results
    )
    with pipelined(connection) if is_plain else nullcontext():
        ends: dict[str, Any] = {}
        if unit is None and connection.dialect.name == "postgresql":
            ends = ending(delivered.attempt_ids[0], delivered.verdict, now)
        else:
            close_attempts(connection, lane.did, delivered.attempt_ids, delivered.verdict, now)
        settled = [
            _acknowledge(connection, lane, result, now, **ends)
            if unit is None
            else _settle_target(unit, lane, result)
            for result in delivered.results
        ]
    changed = zip(delivered.results, settled, strict=True)
    if listed := [result.task.subject for result, each in changed if is_listed(each)]:
        if unit is None:
            raise ListedError
        lists = {each.task.subject_id for each in delivered.results if each.task.kind.refers_to_others}
        for sent in _sent_ahead(delivered.results, refresh_at_once(unit, lane.did, listed, lists)):
            is_listed(_settle_target(unit, lane, sent))
    if delivered.results:
        report = _settle_lane(connection, lane, delivered.results[-1], now, has_no_failures=has_no_failures)
        return now, report
    note_limits(connection, lane.did, delivered.verdict.lane_limits(now))  # a refused batch costs points, too
    limits = HostReport(lane.host, lane.did, delivered.verdict)
    return now, limits if changes_host(connection, limits, now) else None


def _sent_ahead(results: Sequence[Result], refreshed: Sequence[Change]) -> Iterator[Result]:
    """Yield for each list that was sent with what it refers to, and refers to it as the log says by now, that there is nothing left to send."""
    latest = {change.aggregate_id: change for change in refreshed}
    for result in results:
        task, change = result.task, latest.get(result.task.subject.stream_id)
        if change is not None and task.kind.record_of(change.after, task.gen) == task.desired:
            yield replace(result, task=replace(task, gen=change.position), attempt_id=None)


class ListedError(Exception):
    """Lists refer to the record as it was: an event of each follows, which only a unit of work appends."""


def _settle_lane(
    connection: sa.Connection, lane: Lane, result: Result, now: datetime, *, has_no_failures: bool
) -> HostReport | None:
    task, verdict = result.task, result.verdict
    limits = verdict.lane_limits(now)
    if result.outcome is not Outcome.FAILED and not (has_no_failures and not limits):
        # the PDS answered, or nothing had to be sent: the account's whereabouts are not in doubt
        clear_probe(connection, lane.did, failures=0, **limits)
    again = first_of_same_errors(connection, task, verdict) is not None
    report = HostReport.of(
        lane.host,
        lane.did,
        verdict,
        answered=result.is_answered,
        breaks_down_again=again,
        is_refuted=result.is_refuted and result.is_answered,
    )
    is_news = not (has_no_failures and report.says_nothing_new) and changes_host(connection, report, now)
    return report if is_news else None


def _settle_target(unit: UnitOfWork, lane: Lane, result: Result) -> Started | None:
    task, verdict = result.task, result.verdict
    match result.outcome:
        case Outcome.CANCELLED | Outcome.DELIVERED:
            if result.attempt_id is None:
                is_cancelled = result.outcome is Outcome.CANCELLED
                outcome = UnsentOutcome.CANCELLED if is_cancelled else Kind.DONE.value
                # a list that was sent ahead with a batch has the batch's revision
                record_unsent(unit.connection, lane, task, unit.now, outcome, rev=verdict.rev)
            record_withdrawn_edit(unit, task, task.base)
            return _acknowledge(unit.connection, lane, result, unit.now)
        case Outcome.MISSING:
            return record_missing_on_pds(unit, task)
        case Outcome.HELD | Outcome.TAKEN_OVER:
            record_foreign_version(unit, result)
        case Outcome.WAITING:
            set_target(unit.connection, task, failed_gen=task.gen)
        case Outcome.SETTLING:
            set_target(
                unit.connection,
                task,
                not_before=result.verify_at,
                failed_gen=task.gen,
                state=TargetState.VERIFYING,
                reason=MirrorReason.VERIFYING,
            )
        case Outcome.SEEN | Outcome.REBASED:
            return record_verification(unit, result)
        case Outcome.FAILED:
            if verdict.kind is Kind.NOT_SENT and result.attempt_id is not None:
                set_target(unit.connection, task, ever_sent=task.ever_sent)
            _record_failure(unit, lane, task, verdict)
    return None


def _is_read_back(lane: Lane, result: Result) -> bool:
    """Return whether to verify the record at once. A rewrite is not verified again, or it would never end."""
    return result.task.is_open and (result.is_mismatch or lane.is_doubted)


def _acknowledge(
    connection: sa.Connection, lane: Lane, result: Result, now: datetime, **also: Any
) -> Started | None:
    """Acknowledge the generation that was sent; a newer one stays open."""
    task = result.task
    body = task.body
    observed_cid, observed_body = result.observed
    settled = set_target(
        connection,
        task,
        acked_gen=task.gen,
        acked_at=now,
        observed_cid=observed_cid,
        observed_body=observed_body,
        ever_sent=result.outcome is not Outcome.CANCELLED,
        **verification_columns(task, result.verify_at),
        **CLEAN,
        **also,
    )
    # the first record that names a new upload, whose blob the PDS has found therefore
    names_new_blob = task.attempts > 0 or any(
        isinstance(each.event, PublishedEvent) and each.event.BRINGS_BLOB for each in task.since_ack
    )
    if body is not None and task.kind.blob_field in body and names_new_blob:
        this = is_about(blob_job, task.key.did, *task.subject)
        connection.execute(sa.update(blob_job).where(*this).values(attempts=0))
    if task.former_fields is not None:
        clear_former(connection, task.key.did, task.kind.name, task.subject_id, task.gen)
    if _is_read_back(lane, result):
        reverify(connection, [task.subject], now)
    return settled


def _record_failure(unit: UnitOfWork, lane: Lane, task: DeliveryTask, verdict: Verdict) -> None:
    error = error_text(verdict)
    failure: dict[str, Any] = {
        "last_error": error,
        "failed_gen": task.gen,
        "attempts": task.attempts + 1,
        "cause": Cause.of(lane.host, verdict).id,
        "failing_since": task.failing_since or unit.now,
        "first_error": task.first_error or error,
    }
    cap = MAX_CONTENDED_PAUSE_SECONDS if verdict is CONTENDED else CAP_SECONDS
    again_at = unit.now + max(backoff(task.attempts, cap=cap), verdict.requested_pause(unit.now))
    if not task.is_open:
        is_over = verdict.kind is Kind.REJECTED
        failure |= verification_columns(task, None if is_over else again_at, is_over=is_over)
    note_limits(unit.connection, lane.did, verdict.lane_limits(unit.now))
    match verdict.kind:
        case Kind.BLOB_MISSING:
            _upload_again(unit, task)
            failure.update(state=TargetState.BLOB, reason=MirrorReason.BLOB, not_before=NEVER)
        case Kind.PACED:  # not an attempt
            failure.update(attempts=task.attempts, failing_since=task.failing_since)
            failure["first_error"] = task.first_error
            if task.is_open:
                failure.update(state=TargetState.PACED, reason=MirrorReason.PACED, not_before=PAST)
        case Kind.NOT_SENT if verdict.error == NO_CONNECTION:  # not an attempt, and no fault of the PDS
            change_lane(unit.connection, lane.did, not_before=unit.now + NO_CONNECTION_PAUSE)
            return
        case kind if kind in PARKS:
            park(unit.connection, lane.did, kind, unit.now, error=error, run=lane, tried=task.gen)
            return
        case _ if verdict.kind is Kind.REJECTED or (
            task.is_open and is_fault_of_record_alone(unit.connection, lane.host, task, verdict)
        ):
            failure.update(state=TargetState.REJECTED, reason=verdict.error)
        case _:
            if task.is_open:
                failure.update(state=TargetState.BACKOFF, reason=MirrorReason.BACKOFF, not_before=again_at)
            if verdict.concerns_host:
                pause = verdict.requested_pause(unit.now)
                back_off(unit.connection, lane.did, unit.now, error=error, at_least=pause)
            request_probe(unit.connection, lane.did, unit.now + PROBE_AFTER_FAILING, [LaneState.READY])
    set_target(unit.connection, task, **failure)


def _upload_again(unit: UnitOfWork, task: DeliveryTask) -> None:
    """Upload the audio again: at once the first time, then after pauses that grow to an hour.

    A PDS that takes each upload and never finds the blob would otherwise be sent it without end, whatever is edited.
    """
    subject = subject_of(unit, task)
    if not isinstance(subject, WithBlob) or not subject.wants_blob(subject.blob_bytes.cid):
        return  # the owner replaced or gated the audio meanwhile, which is sent as a newer generation
    this = is_about(blob_job, task.key.did, *task.subject)
    rounds = unit.connection.scalar(sa.select(upload.attempts).where(*this)) or 0
    pause = backoff(rounds, cap=MAX_FUTILE_PAUSE_SECONDS) if rounds else timedelta()
    again_at = dict.fromkeys(("not_before", "queue_at"), unit.now + pause)
    again = {"again": True, "attempts": rounds + 1, **again_at}
    upsert(unit.connection, blob_job, blob_row(subject) | again, tuple(again))
