"""Settle: what a delivery found out goes into log, target and lane in one unit, fenced by the lane's epoch."""

from datetime import datetime
from typing import Any, Final

from aggregates.track import Track
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.backoff import backoff
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import changes_host
from outbox.mirror.lanes import Lane, back_off, change_lane, lock_lane
from outbox.mirror.namespace_moves import clear_former
from outbox.mirror.parking import clear_probe, park, schedule_probe
from outbox.mirror.requeue import reverify
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import NEVER, PAST, blob_job
from outbox.mirror.targets import upsert
from outbox.pds.verdict import Kind, Verdict
from outbox.record.dag_cbor import encode
from outbox.relay.delivery import CONTENDED
from outbox.relay.delivery_task import Work
from outbox.relay.journal import CANCELLED, breaks_down, breaks_down_again, conclude, note_unsent
from outbox.relay.observations import CLEAN, hold, looked, note_look, note_missing, set_target
from outbox.relay.result import Outcome, Result

CONTENDED_SECONDS: Final = 3600.0
"""The longest pause of a record that the PDS neither shows nor lets us write: somebody else's that was taken down."""


def settle(log: EventLog, lane: Lane, result: Result) -> HostReport | None:
    """Write down the result, and return what is to be noted of the host, if that changes anything.

    Raises LeaseLostError, and writes nothing, when the lane is another's by now.
    """
    was_heard = result.outcome not in {Outcome.FAILED, Outcome.CANCELLED}

    def work(unit: UnitOfWork) -> HostReport | None:
        _settle(unit, lane, result)
        if result.outcome is not Outcome.FAILED:
            # heard, if only of a record that waits for a person now; or there was nothing left to ask for
            clear_probe(unit.connection, lane.did, failures=0, **result.verdict.lane_limits(unit.now))
        again = breaks_down_again(unit.connection, result.work, result.verdict)
        report = HostReport.of(
            lane.host, lane.did, result.verdict, answered=was_heard, breaks_down_again=again
        )
        return report if changes_host(unit.connection, report, unit.now) else None

    return log.transact(lane.did, lane.envelope, work)


def _settle(unit: UnitOfWork, lane: Lane, result: Result) -> None:
    lock_lane(unit.connection, lane)
    if result.attempt_id is not None:
        conclude(unit.connection, result.attempt_id, result.verdict, unit.now)
    match result.outcome:
        case Outcome.CANCELLED:
            note_unsent(unit.connection, lane, result.work, unit.now, CANCELLED)
            _acknowledge(unit, result)
        case Outcome.DELIVERED:
            if result.attempt_id is None:
                note_unsent(unit.connection, lane, result.work, unit.now, Kind.DONE.value)
            _acknowledge(unit, result)
        case Outcome.MISSING:
            note_missing(unit, result.work)
        case Outcome.HELD:
            hold(unit, result)
        case Outcome.SETTLING:
            set_target(
                unit,
                result.work,
                not_before=result.look_at,
                failed_gen=result.work.gen,
                state=TargetState.VERIFYING,
                reason=MirrorReason.VERIFYING,
            )
        case Outcome.SEEN | Outcome.REBASED:
            note_look(unit, result)
        case Outcome.FAILED:
            _note_failure(unit, lane, result.work, result.verdict)


def _acknowledge(unit: UnitOfWork, result: Result) -> None:
    """Acknowledge only the generation that was sent; a newer one stays open."""
    work = result.work
    body = work.body
    set_target(
        unit,
        work,
        acked_gen=work.gen,
        acked_at=unit.now,
        observed_cid=result.confirmed_cid or work.request_cid,
        observed_body=encode(body) if body is not None else None,
        ever_sent=result.outcome is not Outcome.CANCELLED,
        **looked(work, result.look_at),
        **CLEAN,
    )
    if work.has_moved and not work.is_former:
        clear_former(unit.connection, work.track_id, work.gen)
    if result.is_mismatch and work.is_open:  # what a look has put right, it does not look at again and again
        reverify(unit.connection, [work.track_id], unit.now)


def _note_failure(unit: UnitOfWork, lane: Lane, work: Work, verdict: Verdict) -> None:
    failure: dict[str, Any] = {
        "last_error": f"{verdict.error}: {verdict.message}",
        "failed_gen": work.gen,
        "attempts": work.attempts + 1,
    }
    pause = backoff(work.attempts, cap=CONTENDED_SECONDS) if verdict is CONTENDED else backoff(work.attempts)
    again_at = unit.now + max(pause, verdict.requested_pause(unit.now))
    if not work.is_open:
        is_over = verdict.kind is Kind.REJECTED
        failure |= looked(work, None if is_over else again_at, is_over=is_over)
    if limits := verdict.lane_limits(unit.now):
        change_lane(unit.connection, lane.did, **limits)
    match verdict.kind:
        case Kind.BLOB_MISSING:
            # A PDS that drops each blob at once must not be sent it again and again.
            _upload_again(unit, work, not_before=again_at if work.attempts else PAST)
            set_target(
                unit, work, state=TargetState.BLOB, reason=MirrorReason.BLOB, not_before=NEVER, **failure
            )
        case Kind.PACED:
            paced = {**failure, "attempts": work.attempts}
            if work.is_open:
                paced.update(state=TargetState.PACED, reason=MirrorReason.PACED, not_before=PAST)
            set_target(unit, work, **paced)
        case Kind.SIGN_IN | Kind.INACTIVE | Kind.MOVED:
            park(unit.connection, lane.did, verdict.kind, unit.now, run=lane)
        case _ if _is_rejected(unit, lane, work, verdict):
            set_target(unit, work, state=TargetState.REJECTED, reason=verdict.error, **failure)
        case _:
            if work.is_open:
                failure.update(state=TargetState.BACKOFF, reason=MirrorReason.BACKOFF, not_before=again_at)
            _try_again(unit, lane, work, verdict, failure)


def _try_again(unit: UnitOfWork, lane: Lane, work: Work, verdict: Verdict, failure: dict[str, Any]) -> None:
    if verdict.kind is Kind.NOT_SENT:
        failure["ever_sent"] = work.ever_sent
    set_target(unit, work, **failure)
    if verdict.concerns_host:
        back_off(unit.connection, lane.did, unit.now, at_least=verdict.requested_pause(unit.now))
    schedule_probe(unit.connection, lane.did, unit.now)


def _is_rejected(unit: UnitOfWork, lane: Lane, work: Work, verdict: Verdict) -> bool:
    """Whether the PDS will never take the record as it is, by its word or by its breaking down over it."""
    if verdict.kind is Kind.REJECTED:
        return True
    return work.is_open and breaks_down(unit.connection, lane.host, work, verdict)


def _upload_again(unit: UnitOfWork, work: Work, *, not_before: datetime) -> None:
    track = unit.load(Track, Track.create_id(work.track_id))
    row = {
        "did": work.key.did,
        "track_id": work.track_id,
        "audio_cid": track.audio.cid,
        "requested": track.blob_requested,
        "again": True,
        "not_before": not_before,
    }
    upsert(unit.connection, blob_job, row, ("again", "not_before"))
