"""Settle: what a delivery found out goes into log, target and lane in one unit, fenced by the lane's epoch."""

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, case, select

from aggregates.track import Track
from eventstore.envelope import Envelope
from eventstore.unit import Unit
from eventstore.unit_of_work import EventLog
from outbox.backoff import backoff
from outbox.dag_cbor import Record, UnencodableError, encode
from outbox.delivery import Outcome, Result
from outbox.journal import CANCELLED, conclude, note_unsent
from outbox.lanes import Lane, change_lane, lock_lane, park_flight, slow_down
from outbox.tables import NEVER, PAST, blob_job, mirror_target
from outbox.targets import AUTH_REQUIRED, CHANGE_TARGET, HELD, PUT, of_target, upsert
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
            note_unsent(unit.connection, lane, result.work, unit.now, CANCELLED)
            _acknowledge(unit, lane, result)
        case Outcome.DELIVERED:
            if result.attempt_id is None:
                note_unsent(unit.connection, lane, result.work, unit.now, Kind.DONE.value)
            _acknowledge(unit, lane, result)
        case Outcome.MISSING:
            _note_missing(unit, result.work)
        case Outcome.HELD:
            _hold(unit, result)
        case Outcome.SETTLING:
            _set(
                unit,
                result.work,
                not_before=result.look_at,
                failed_gen=result.work.gen,
                state="verifying",
                reason="verifying",
            )
        case Outcome.SEEN:
            _set(unit, result.work, **_looked(result.work, None))
        case Outcome.FAILED:
            _note_failure(unit, lane, result.work, result.verdict)


def _acknowledge(unit: Unit, lane: Lane, result: Result) -> None:
    """Acknowledge only the generation that was sent; a newer one stays open."""
    work, sent = result.work, result.work.request_cid
    confirmed = result.verdict.cid if work.op == PUT else None
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
        **_looked(work, result.look_at),
        **_CLEAN,
    )
    change_lane(unit.connection, lane.did, failures=0)


def _looked(work: Work, again_at: datetime | None) -> dict[str, datetime]:
    """Look again then, or never; but a doubt that came up since we looked stays."""
    return {"looked_for": work.look_at, "again_at": again_at or NEVER}


_LOOK_AT: Final = mirror_target.c.look_at
_CHANGE_LOOKED: Final = CHANGE_TARGET.values(
    look_at=case(
        (bindparam("looked_for") == _LOOK_AT, bindparam("again_at", type_=_LOOK_AT.type)), else_=_LOOK_AT
    )
)
"""Made once, as CHANGE_TARGET is: making it takes longer than running it."""


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
    if not _still_stands(unit, work):
        return
    track = unit.load(Track, Track.create_id(work.track_id))
    track.record_missing(observed_at=unit.now)
    unit.save(track)
    _set(unit, work, **{**_CLEAN, "observed_cid": None, "observed_body": None, **_looked(work, None)})


def _still_stands(unit: Unit, work: Work) -> bool:
    """Whether nothing was wished for since the work was read: else what was observed is of no account."""
    newest = unit.connection.scalar(
        select(mirror_target.c.desired_gen).where(mirror_target.c.track_id == work.track_id)
    )
    return newest == work.gen


def _hold(unit: Unit, result: Result) -> None:
    remote = result.remote
    if not _still_stands(unit, result.work):
        return
    _set(
        unit,
        result.work,
        state=HELD,
        reason="foreign_edit",
        failed_gen=result.work.gen,
        not_before=PAST,
        **_looked(result.work, None),
        conflict_cid=remote.cid if remote is not None else None,
        conflict_body=_kept(remote.body) if remote is not None else None,
    )


def _kept(foreign: Record | None) -> bytes | None:
    """Keep a foreign value, unless no record of ours could hold it: then it stays at the PDS alone."""
    try:
        return encode(foreign) if foreign is not None else None
    except UnencodableError:
        return None


def _note_failure(unit: Unit, lane: Lane, work: Work, verdict: Verdict) -> None:
    failure: dict[str, Any] = {
        "last_error": f"{verdict.error}: {verdict.message}",
        "failed_gen": work.gen,
        "attempts": work.attempts + 1,
    }
    asked = timedelta(seconds=verdict.retry_after or 0)
    again_at = unit.now + max(backoff(work.attempts), asked)
    if not work.is_open:
        failure["look_at"] = again_at
    match verdict.kind:
        case Kind.REJECTED:
            _set(unit, work, state="rejected", reason=verdict.error, **failure)
        case Kind.BLOB_MISSING:
            # A PDS that drops each blob at once must not be sent it again and again.
            _upload_again(unit, work, not_before=again_at if work.attempts else PAST)
            _set(unit, work, state="blob", reason="blob", not_before=NEVER, **failure)
        case Kind.PACED:
            paced = {**failure, "attempts": work.attempts}
            pause = asked or timedelta(seconds=DEFAULT_PACE_SECONDS)
            if work.is_open:
                paced.update(state="paced", reason="paced", not_before=PAST)
            _set(unit, work, **paced)
            change_lane(unit.connection, lane.did, paced_until=unit.now + pause)
        case Kind.SIGN_IN | Kind.INACTIVE | Kind.MOVED:
            park_flight(unit.connection, lane, PARKING[verdict.kind])
        case _:
            if verdict.kind is Kind.NOT_SENT:
                failure["ever_sent"] = work.ever_sent
            if work.is_open:
                failure.update(state="backoff", reason="backoff", not_before=again_at)
            _set(unit, work, **failure)
            if verdict.concerns_host:
                slow_down(unit.connection, lane.did, unit.now, at_least=asked)


def _upload_again(unit: Unit, work: Work, *, not_before: datetime) -> None:
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


def _set(unit: Unit, work: Work, **values: Any) -> None:
    statement = _CHANGE_LOOKED if "again_at" in values else CHANGE_TARGET
    unit.connection.execute(statement, {**of_target(work.key), **values})
