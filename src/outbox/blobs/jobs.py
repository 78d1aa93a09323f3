"""The rows of uploads. Row locks are taken in one order: lane, target, job."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Subject, WithBlob
from aggregates.values import Audio, BlobRef
from eventstore.coordination.backoff import CAP_SECONDS, MAX_FUTILE_PAUSE_SECONDS, backoff
from eventstore.errors import LeaseLostError
from eventstore.jobs.queue import held
from eventstore.jobs.table import job
from eventstore.unit_of_work import UnitOfWork
from eventstore.untrusted import clean
from outbox.blobs.claim import Upload
from outbox.mirror.due import is_open
from outbox.mirror.failure_causes import Cause, error_text
from outbox.mirror.parking import PARKING, PROBE_AFTER_FAILING, park, request_probe
from outbox.mirror.requeue import queue_as_backfill
from outbox.mirror.states import LaneState, TargetState
from outbox.mirror.tables import NO_FAILURES, PAST, blob_job, lane, mirror_target, target, upload
from outbox.mirror.targets import change_rows, is_about, wake_lane
from outbox.pds.verdict import (
    MAX_MESSAGE_LENGTH,
    NO_CONNECTION,
    NO_CONNECTION_PAUSE,
    TOO_LARGE,
    Kind,
    Verdict,
)
from outbox.record.kind import accepts, blob_reference

MAX_BLOB_BYTES: Final = 104857600
"""The lexicon's limit: a record that names a larger blob would be refused."""
ACCEPTED: Final = ("audio/*", "video/*")
"""The lexicon's types: a PDS derives the type from the container (docs/adr/0017-audio-that-a-pds-calls-video.md)."""
BLOB_TYPE: Final = "blob_type"
"""The PDS gave the audio a type that no record may name."""
TOO_LARGE_REASON: Final = "too_large"
BLOB_MISMATCH: Final = "blob_mismatch"
"""The PDS answered with a success that names other bytes, or is no blob reference."""


def refused_unsent(audio: Audio, limit: int | None) -> Verdict | None:
    """Refuse audio of more bytes than the PDS's limit, or than a record may name; None if it may be sent."""
    limit_bytes = min(limit or MAX_BLOB_BYTES, MAX_BLOB_BYTES)
    if audio.size <= limit_bytes:
        return None
    return Verdict(
        Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, f"the PDS takes blobs of up to {limit_bytes} bytes"
    )


def judged(verdict: Verdict, audio: Audio) -> Verdict:
    if verdict.status == TOO_LARGE and verdict.kind is Kind.REJECTED:
        return Verdict(Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, verdict.message)
    if verdict.kind is Kind.DONE and not _is_whole(verdict.body, audio):
        message = clean(f"the PDS stored {verdict.body}", MAX_MESSAGE_LENGTH)
        return replace(verdict, kind=Kind.AMBIGUOUS, error=BLOB_MISMATCH, message=message)
    if verdict.kind is Kind.DONE and not accepts(ACCEPTED, mime := verdict.body["blob"]["mimeType"]):
        message = f"the PDS takes it for {mime}, which a record cannot name as its audio"
        return replace(
            verdict, kind=Kind.REJECTED, error=BLOB_TYPE, message=clean(message, MAX_MESSAGE_LENGTH)
        )
    return verdict


def _is_whole(body: Any, audio: Audio) -> bool:
    blob = blob_reference(body.get("blob"))
    return blob is not None and (blob["ref"]["$link"], blob["size"]) == (audio.cid, audio.size)


MISSING_REASON: Final = "audio_missing"
"""The bytes are not in our storage."""


def settle_job(unit: UnitOfWork, claimed: Upload, verdict: Verdict | None) -> None:
    """Settle an upload in one unit of work: check the lease and the subject, append the event, change the upload.

    Without a verdict nothing was sent: the record no longer needs it, or its lane is not ready. Raises LeaseLostError.
    """
    of_lane = sa.select(lane.host).where(lane.did == claimed.did).with_for_update()
    is_at_host = unit.connection.scalar(of_lane) == claimed.host
    due = unit.connection.scalar(sa.select(job.c.due).where(held(claimed.job)).with_for_update())
    uploads = sa.select(upload.audio_cid, upload.again, upload.backfill, upload.failing_since)
    this = uploads.where(*_in(blob_job, claimed)).with_for_update()
    row = unit.connection.execute(this).one_or_none()
    if not is_at_host or due is None or row is None:
        raise LeaseLostError
    subject = unit.load(WithBlob, claimed.subject.stream_id)  # type: ignore[type-abstract]
    if not subject.wants_blob(claimed.audio_cid):
        # The verdict is about other bytes than the record is to name now.
        _change(unit, claimed, again=row.again and subject.wants_blob(row.audio_cid), attempts=0)
    elif verdict is not None and verdict.kind in PARKING:
        if due >= claimed.job.began_at:  # otherwise the owner has signed in since the claim
            park(unit.connection, claimed.did, verdict.kind, unit.now, error=error_text(verdict))
    elif verdict is not None:
        _settle(unit, claimed, subject, verdict, row)


def _settle(unit: UnitOfWork, claimed: Upload, subject: WithBlob, verdict: Verdict, row: Any) -> None:
    backfilled, was_lost = row.backfill, row.again
    error = error_text(verdict)
    failure: dict[str, Any] = {"last_error": error, "cause": Cause.of(claimed.host, verdict).id}
    if row.failing_since is None:
        failure |= {"failing_since": unit.now, "first_error": error}
    if verdict.kind is Kind.DONE and (blob := blob_reference(verdict.body["blob"])) is not None:
        has_live_work = sa.exists().where(*_in(mirror_target, claimed), is_open(), ~target.backfill)
        backfilled = backfilled and not unit.connection.scalar(sa.select(has_live_work))
        _set_target(unit, claimed, state=TargetState.IDLE, reason=None, not_before=PAST)
        wake_lane(unit.connection, claimed.did, unit.now)
        subject.record_blob(BlobRef(claimed.audio_cid, blob), at=unit.now)
        attempts = claimed.attempts if was_lost else 0  # kept until the PDS finds the blob: relay/settle.py
        well = {"last_error": None, "cause": None, **NO_FAILURES}
        _change(unit, claimed, again=False, attempts=attempts, **well)
    elif verdict.kind is Kind.REJECTED:
        _record_refusal(unit, claimed, subject, verdict, was_lost=was_lost)
        _change(unit, claimed, again=False, **failure)
    elif verdict.kind is Kind.PACED:  # not an attempt: the PDS did not process it
        not_before = unit.now + verdict.requested_pause(unit.now)
        _change(unit, claimed, not_before=not_before, last_error=error)
    elif verdict.error == NO_CONNECTION:  # not an attempt either, and no fault of the PDS
        _change(unit, claimed, not_before=unit.now + NO_CONNECTION_PAUSE, last_error=error)
    else:
        request_probe(unit.connection, claimed.did, unit.now + PROBE_AFTER_FAILING, [LaneState.READY])
        is_futile = verdict.is_fault_of_record or verdict.error == BLOB_MISMATCH
        pause = backoff(claimed.attempts, cap=MAX_FUTILE_PAUSE_SECONDS if is_futile else CAP_SECONDS)
        not_before = unit.now + max(pause, verdict.requested_pause(unit.now))
        _change(unit, claimed, attempts=claimed.attempts + 1, not_before=not_before, **failure)
    unit.save(subject)
    if backfilled and verdict.kind is Kind.DONE:
        queue_as_backfill(unit.connection, claimed.did, [claimed.subject], unit.now)


def _record_refusal(
    unit: UnitOfWork, claimed: Upload, subject: WithBlob, verdict: Verdict, *, was_lost: bool
) -> None:
    """Drop a blob that its PDS has lost and refuses, since otherwise every edit would be refused; else record the failure.

    Audio that is missing in our storage is not dropped: it may be restored.
    """
    reason = verdict.error or verdict.kind.value
    desired = subject.desired_blob
    if was_lost and desired is not None and desired.is_on_pds and reason != MISSING_REASON:
        subject.record_blob_lost(reason, at=unit.now)
        return
    _set_target(unit, claimed, state=TargetState.REJECTED, reason=verdict.error)
    subject.record_blob_failure(reason, final=True, at=unit.now)


def mark_backfill(
    connection: sa.Connection, did: str, subjects: Iterable[Subject], *, backfill: bool = True
) -> None:
    """Put these uploads, and the records that wait for them, behind live work, as part of bulk work; or else among it."""
    change_rows(connection, blob_job, did, subjects, backfill=backfill, queue_at=PAST)


def _change(unit: UnitOfWork, claimed: Upload, **columns: Any) -> None:
    if "not_before" in columns:
        columns["queue_at"] = columns["not_before"]
    unit.connection.execute(sa.update(blob_job).where(*_in(blob_job, claimed)).values(columns))


def _set_target(unit: UnitOfWork, claimed: Upload, **columns: Any) -> None:
    """Set columns of the target, if it waits for this blob."""
    these = (*_in(mirror_target, claimed), target.state == TargetState.BLOB)
    unit.connection.execute(sa.update(mirror_target).where(*these).values(columns))


def _in(table: sa.Table, claimed: Upload) -> tuple[sa.ColumnElement[bool], ...]:
    return is_about(table, claimed.did, *claimed.subject)
