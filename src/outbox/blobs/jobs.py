"""The rows of the uploads: keep, settle, give back. Locks in the order of all: lane, target, job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, exists, select, update

from aggregates.track import Track
from aggregates.values import BlobRef
from eventstore.database import Database
from eventstore.unit_of_work import UnitOfWork
from outbox.backoff import CAP_SECONDS, backoff
from outbox.blobs.upload_results import BLOB_MISMATCH
from outbox.mirror.lanes import LeaseLostError, host_open_at, is_open, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.parking import PARKING, park, schedule_probe
from outbox.mirror.requeue import queue_as_backfill
from outbox.mirror.states import LaneState, TargetState
from outbox.mirror.tables import IS_LEASED, PAST, blob_job, mirror_lane, mirror_target, pds_host
from outbox.mirror.targets import wake_lane
from outbox.pds.verdict import MAX_MESSAGE_LENGTH, Kind, Verdict, clean

LEASE: Final = timedelta(seconds=60)
"""Extended for as long as the upload goes on, so that after a crash nobody waits for a long one to be over."""

BROKEN_SECONDS: Final = 3600.0
"""The longest pause after an upload that was in vain, which is dear (docs/adr/0015-uploads-that-break-a-pds.md)."""
UNSETTLED_SECONDS: Final = 60.0
"""The first pause after an upload of which nothing could be written down."""
MISSING_REASON: Final = "audio_missing"
"""Our storage has lost the bytes."""

job = blob_job.c
lane = mirror_lane.c
target = mirror_target.c


@dataclass(frozen=True)
class BlobJob:
    """A claimed upload."""

    did: str
    host: str
    track_id: int
    audio_cid: str
    attempts: int
    owner: str
    epoch: int


def may_be_sent(connection: Connection, claimed: BlobJob, now: datetime) -> bool:
    """Whether the job's lane works as it did, and its host still takes uploads.

    A deactivated account takes uploads, but no record that names them; a host may have asked others to wait meanwhile.
    """
    of_host = (pds_host.c.host == claimed.host, ~pds_host.c.paused)
    takes_uploads = exists().where(*of_host, latest_of(host_open_at(), pds_host.c.blobs_after) <= now)
    works = and_(lane_works(claimed.did, claimed.host), takes_uploads)
    return connection.scalar(select(works)) or False


def lane_works(did: str, host: str) -> ColumnElement[bool]:
    """Say that the account's lane works, and still on this host."""
    return exists().where(
        lane.did == did, lane.host == host, lane.state == LaneState.READY, ~lane.paused, ~is_observed()
    )


def extend(database: Database, claimed: BlobJob, lease: timedelta) -> bool:
    """Keep the job for the length of a lease from now; False when it is not ours any more."""
    with database.write() as connection:
        changed = connection.execute(
            update(blob_job)
            .where(
                job.did == claimed.did,
                job.track_id == claimed.track_id,
                job.lease_epoch == claimed.epoch,
                IS_LEASED,  # else it has ended; after a sign-in meanwhile it goes on, though it has no owner
            )
            .values(lease_until=database.now(connection) + lease)
        )
        return changed.rowcount == 1


def give_back(database: Database, claimed: BlobJob) -> None:
    """Let others have the job at once: its upload was not finished."""
    with database.write() as connection:
        connection.execute(
            update(blob_job)
            .where(job.did == claimed.did, job.track_id == claimed.track_id, job.lease_epoch == claimed.epoch)
            .values(lease_owner=None, lease_until=PAST)
        )


def postpone(database: Database, claimed: BlobJob, error: str) -> None:
    """Let the job wait, the longer the more often it had to: its upload has ended, and nobody could write down how."""
    pause = backoff(claimed.attempts, first=UNSETTLED_SECONDS, cap=BROKEN_SECONDS)
    with database.write() as connection:
        connection.execute(
            update(blob_job)
            .where(
                job.did == claimed.did,
                job.track_id == claimed.track_id,
                job.lease_epoch == claimed.epoch,
                job.lease_owner == claimed.owner,
            )
            .values(
                lease_owner=None,
                lease_until=PAST,
                attempts=claimed.attempts + 1,
                not_before=database.now(connection) + pause,
                last_error=clean(error, MAX_MESSAGE_LENGTH),
            )
        )


def settle_job(unit: UnitOfWork, claimed: BlobJob, verdict: Verdict | None) -> None:
    """One unit: the lease is ours, the track is as it was, the event is appended, the job ends or waits.

    Without a verdict nothing was sent, because the track did not want it or its lane does not work.
    """
    unit.connection.execute(select(lane.did).where(lane.did == claimed.did).with_for_update())
    row = unit.connection.execute(
        select(job.lease_epoch, job.lease_owner, job.audio_cid, job.again, job.backfill)
        .where(job.did == claimed.did, job.track_id == claimed.track_id)
        .with_for_update()
    ).one_or_none()
    if row is None or row.lease_epoch != claimed.epoch:
        raise LeaseLostError
    track = unit.load(Track, Track.create_id(claimed.track_id))
    if not track.blob_accepts(claimed.audio_cid):
        # Of what the PDS said of other audio nothing concerns the audio that the track has now.
        _end(unit, claimed, again=row.again and row.audio_cid != claimed.audio_cid, attempts=0)
    elif verdict is None:
        _end(unit, claimed)  # it is wanted again since
    elif verdict.kind in PARKING:
        if row.lease_owner == claimed.owner:  # else its owner has signed in meanwhile
            park(unit.connection, claimed.did, verdict.kind, unit.now)
        _end(unit, claimed)
    else:
        _settle(unit, claimed, track, verdict, waits=row.backfill, was_lost=row.again)


def _settle(
    unit: UnitOfWork, claimed: BlobJob, track: Track, verdict: Verdict, *, waits: bool, was_lost: bool
) -> None:
    error = f"{verdict.error}: {verdict.message}"
    if verdict.kind is Kind.DONE:
        waits = waits and not _has_live_work(unit, claimed)
        _set_target(unit, claimed, state=TargetState.IDLE, reason=None, not_before=PAST)
        wake_lane(unit.connection, claimed.did, unit.now)
        track.record_blob(BlobRef(claimed.audio_cid, verdict.body["blob"]), at=unit.now)
        _end(unit, claimed, again=False, attempts=0, last_error=None)
    elif verdict.kind is Kind.REJECTED:
        _note_refusal(unit, claimed, track, verdict, was_lost=was_lost)
        _end(unit, claimed, again=False, last_error=error)
    elif verdict.kind is Kind.PACED:  # no attempt: the PDS has not looked at it
        _end(unit, claimed, not_before=unit.now + verdict.requested_pause(unit.now), last_error=error)
    else:
        schedule_probe(unit.connection, claimed.did, unit.now)
        was_in_vain = verdict.is_fault_of_record or verdict.error == BLOB_MISMATCH
        pause = backoff(claimed.attempts, cap=BROKEN_SECONDS if was_in_vain else CAP_SECONDS)
        not_before = unit.now + max(pause, verdict.requested_pause(unit.now))
        _end(unit, claimed, attempts=claimed.attempts + 1, not_before=not_before, last_error=error)
    unit.save(track)
    if waits and verdict.kind is Kind.DONE:
        queue_as_backfill(unit.connection, claimed.did, [claimed.track_id], unit.now)


def _note_refusal(
    unit: UnitOfWork, claimed: BlobJob, track: Track, verdict: Verdict, *, was_lost: bool
) -> None:
    """Let the record do without a blob that its PDS has lost and does not want: else no edit would ever be taken again.

    What is missing here may be found again.
    """
    reason = verdict.error or verdict.kind.value
    if was_lost and track.blob is not None and reason != MISSING_REASON:
        track.record_blob_lost(reason, at=unit.now)
        return
    _set_target(unit, claimed, state=TargetState.REJECTED, reason=verdict.error)
    track.record_blob_failure(reason, final=True, at=unit.now)


def _has_live_work(unit: UnitOfWork, claimed: BlobJob) -> bool:
    """Whether the record has something to be sent already that is not to wait."""
    live = (target.track_id == claimed.track_id, is_open(), ~target.backfill)
    return bool(unit.connection.scalar(select(exists().where(*live))))


def mark_backfill(connection: Connection, did: str, track_ids: Sequence[int]) -> None:
    """Let these uploads, and the records that they are for, go behind what others do just now: they are of bulk work."""
    these = (job.did == did, job.track_id.in_(track_ids))
    connection.execute(update(blob_job).where(*these).values(backfill=True))


def mark_live(connection: Connection, did: str, track_id: int) -> None:
    """Let this upload wait for none of the others: somebody asked for it alone."""
    this = (job.did == did, job.track_id == track_id, job.backfill)
    connection.execute(update(blob_job).where(*this).values(backfill=False))


def _end(unit: UnitOfWork, claimed: BlobJob, **columns: Any) -> None:
    unit.connection.execute(
        update(blob_job)
        .where(job.did == claimed.did, job.track_id == claimed.track_id)
        .values(lease_owner=None, lease_until=PAST, **columns)
    )


def _set_target(unit: UnitOfWork, claimed: BlobJob, **columns: Any) -> None:
    """Change the record that waits for its blob, if it does."""
    unit.connection.execute(
        update(mirror_target)
        .where(target.track_id == claimed.track_id, target.state == TargetState.BLOB)
        .values(columns)
    )
