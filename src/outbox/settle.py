"""Settle: what a delivery found out goes into log, target and lane in one unit, fenced by the lane's epoch."""

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select, update

from aggregates.track import Track
from eventstore.envelope import Envelope
from eventstore.unit import Unit
from eventstore.unit_of_work import EventLog
from outbox.backoff import backoff
from outbox.dag_cbor import encode
from outbox.delivery import UNREACHABLE, Outcome, Result
from outbox.journal import conclude, note_cancelled
from outbox.lanes import Lane, change_lane, lock_lane, park_lane
from outbox.tables import NEVER, PAST, blob_job, mirror_lane, mirror_target
from outbox.targets import AUTH_REQUIRED, upsert
from outbox.verdict import Kind, Verdict
from outbox.work import Work

logger = logging.getLogger(__name__)

PARKING: Final = {
    Kind.SIGN_IN: AUTH_REQUIRED,
    Kind.INACTIVE: "account_inactive",
    Kind.MOVED: "identity_stale",
}
DEFAULT_PACE_SECONDS: Final = 60.0


def relay_envelope(lane: Lane) -> Envelope:
    """Say in the log that the relay found it out, in which flight."""
    return Envelope(actor="relay", via="relay", request_id=f"{lane.owner}:{lane.epoch}")


def settle(log: EventLog, lane: Lane, result: Result) -> None:
    """Write down the result; raises LeaseLostError, and writes nothing, when the lane is another's by now."""
    log.transact(lane.did, relay_envelope(lane), lambda unit: _settle(unit, lane, result))


def _settle(unit: Unit, lane: Lane, result: Result) -> None:
    lock_lane(unit.connection, lane)
    if result.attempt_id is not None:
        conclude(unit.connection, result.attempt_id, result.verdict, unit.now)
    match result.outcome:
        case Outcome.CANCELLED:
            note_cancelled(unit.connection, lane, result.work, unit.now)
            _acknowledge(unit, lane, result)
        case Outcome.DELIVERED:
            _acknowledge(unit, lane, result)
        case Outcome.MISSING:
            _note_missing(unit, result.work)
        case Outcome.HELD:
            _hold(unit, result)
        case Outcome.SETTLING:
            _set(
                unit,
                result.work,
                not_before=result.settles_at,
                failed_gen=result.work.gen,
                reason="verifying",
            )
        case Outcome.FAILED:
            _note_failure(unit, lane, result.work, result.verdict)


def _acknowledge(unit: Unit, lane: Lane, result: Result) -> None:
    """Acknowledge only the generation that was sent; a newer one stays open."""
    work, sent = result.work, result.work.request_cid
    confirmed = result.verdict.body.get("cid") if isinstance(result.verdict.body, dict) else None
    if confirmed is not None and confirmed != sent:
        logger.error("cid_mismatch", extra={"uri": work.key.uri, "expected": sent, "returned": confirmed})
    body = work.body
    _set(
        unit,
        work,
        acked_gen=work.gen,
        acked_at=unit.now,
        observed_cid=confirmed or sent,
        observed_body=encode(body) if body is not None else None,
        ever_sent=result.outcome is not Outcome.CANCELLED,
        **_CLEAN,
    )
    change_lane(unit.connection, lane.did, failures=0)


_CLEAN: Final[dict[str, Any]] = {
    "state": "idle",
    "reason": None,
    "attempts": 0,
    "failed_gen": 0,
    "not_before": PAST,
    "last_error": None,
    "conflict_cid": None,
    "conflict_body": None,
}


def _note_missing(unit: Unit, work: Work) -> None:
    """Note a delete made elsewhere, unless the owner has spoken since we read."""
    newest = unit.connection.scalar(
        select(mirror_target.c.desired_gen).where(mirror_target.c.track_id == work.track_id)
    )
    if newest != work.gen:
        return
    track = unit.load(Track, Track.create_id(work.track_id))
    track.record_missing(observed_at=unit.now)
    unit.save(track)
    _set(unit, work, **{**_CLEAN, "observed_cid": None, "observed_body": None})


def _hold(unit: Unit, result: Result) -> None:
    remote = result.remote
    _set(
        unit,
        result.work,
        state="held",
        reason="foreign_edit",
        failed_gen=result.work.gen,
        conflict_cid=remote.cid if remote is not None else None,
        conflict_body=encode(remote.body) if remote is not None and remote.body is not None else None,
    )


def _note_failure(unit: Unit, lane: Lane, work: Work, verdict: Verdict) -> None:
    failure = {"last_error": f"{verdict.error}: {verdict.message}", "failed_gen": work.gen}
    again_at = unit.now + backoff(work.attempts)
    match verdict.kind:
        case Kind.REJECTED:
            _set(unit, work, state="rejected", reason=verdict.error, **failure)
        case Kind.BLOB_MISSING:
            _upload_again(unit, work)
            _set(unit, work, state="blob", reason="blob", not_before=NEVER, **failure)
        case Kind.PACED:
            pause = timedelta(seconds=verdict.retry_after or DEFAULT_PACE_SECONDS)
            _set(unit, work, state="paced", reason="paced", **failure)
            change_lane(unit.connection, lane.did, not_before=unit.now + pause)
        case Kind.SIGN_IN | Kind.INACTIVE | Kind.MOVED:
            park_lane(unit.connection, lane.did, PARKING[verdict.kind])
        case _:
            attempts = work.attempts + 1
            if verdict.kind is Kind.NOT_SENT:
                failure["ever_sent"] = work.ever_sent
            _set(
                unit,
                work,
                state="backoff",
                reason="backoff",
                attempts=attempts,
                not_before=again_at,
                **failure,
            )
            if verdict.status in UNREACHABLE:
                _slow_lane(unit, lane, unit.now)


def _slow_lane(unit: Unit, lane: Lane, now: datetime) -> None:
    column = mirror_lane.c
    failures = unit.connection.scalar(select(column.failures).where(column.did == lane.did)) or 0
    change_lane(unit.connection, lane.did, failures=failures + 1, not_before=now + backoff(failures))


def _upload_again(unit: Unit, work: Work) -> None:
    track = unit.load(Track, Track.create_id(work.track_id))
    row = {
        "did": work.key.did,
        "track_id": work.track_id,
        "audio_cid": track.audio.cid,
        "requested": track.blob_requested,
        "again": True,
        "not_before": PAST,
    }
    upsert(unit.connection, blob_job, row, ("again", "not_before"))


def _set(unit: Unit, work: Work, **values: Any) -> None:
    column, key = mirror_target.c, work.key
    unit.connection.execute(
        update(mirror_target)
        .where(column.did == key.did, column.collection == key.collection, column.rkey == key.rkey)
        .values(values)
    )
