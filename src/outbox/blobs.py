"""Blobs: audio to the PDS, in jobs of their own, so that only the record that needs one waits for it.

Upload, then note BlobMigrated in one unit, then the lane's put names the reference: a PDS deletes a blob
that no record names, and serves none before one does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, or_, select, update

from aggregates.track import Track
from aggregates.values import Audio, BlobRef
from eventstore.envelope import Envelope
from eventstore.unit import Unit
from eventstore.unit_of_work import EventLog
from outbox.backoff import backoff
from outbox.lanes import LeaseLostError, park_lane
from outbox.pds import Pds
from outbox.ports import AudioSource, BodyFactory
from outbox.settle import PARKING
from outbox.tables import PAST, blob_job, mirror_lane, mirror_target
from outbox.targets import READY, wake_lane
from outbox.verdict import Kind, Verdict

logger = logging.getLogger(__name__)

job = blob_job.c
WORKERS: Final = 4
LEASE: Final = timedelta(minutes=20)
UPLOAD_SECONDS: Final = 1000.0
TOO_LARGE: Final = 413
TOO_LARGE_REASON: Final = "too_large"
MISSING_REASON: Final = "audio_missing"


@dataclass(frozen=True)
class BlobJob:
    """A claimed upload."""

    did: str
    host: str
    track_id: int
    audio_cid: str
    attempts: int
    epoch: int


class BlobWorker:
    """Uploads a few blobs at a time, streamed from storage."""

    def __init__(self, log: EventLog, pds: Pds, source: AudioSource, *, owner: str) -> None:
        self._log = log
        self._pds = pds
        self._source = source
        self._owner = owner
        self._uploads: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether an upload is under way."""
        return bool(self._uploads)

    async def drain(self) -> None:
        """Wait for the uploads that are under way."""
        await asyncio.gather(*self._uploads, return_exceptions=True)

    async def start_due(self) -> bool:
        """Start what is due and there is room for."""
        room = WORKERS - len(self._uploads)
        if room <= 0:
            return False
        jobs = await asyncio.to_thread(self._claim, room)
        for each in jobs:
            upload = asyncio.create_task(self._run(each))
            self._uploads.add(upload)
            upload.add_done_callback(self._uploads.discard)
        return bool(jobs)

    def _claim(self, limit: int) -> list[BlobJob]:
        database = self._log.database
        with database.read() as connection:  # an idle worker writes nothing
            if not _due_jobs(connection, database.now(connection), limit, lock=False):
                return []
        with database.write() as connection:
            now = database.now(connection)
            jobs = []
            for row in _due_jobs(connection, now, limit, lock=True):
                connection.execute(
                    update(blob_job)
                    .where(job.did == row.did, job.track_id == row.track_id)
                    .values(lease_owner=self._owner, lease_until=now + LEASE, lease_epoch=row.lease_epoch + 1)
                )
                epoch = row.lease_epoch + 1
                jobs.append(BlobJob(row.did, row.host, row.track_id, row.audio_cid, row.attempts, epoch))
            return jobs

    async def _run(self, claimed: BlobJob) -> None:
        try:
            audio = await asyncio.to_thread(self._audio, claimed)
            verdict = await self._upload(claimed, audio) if audio is not None else None
            envelope = Envelope("relay", "relay", f"{self._owner}:blob:{claimed.epoch}")
            await asyncio.to_thread(
                self._log.transact, claimed.did, envelope, lambda unit: _settle(unit, claimed, audio, verdict)
            )
        except LeaseLostError:
            logger.warning("blob_lease_lost", extra={"did": claimed.did, "track_id": claimed.track_id})
        except Exception:
            logger.exception("blob_job_failed", extra={"did": claimed.did, "track_id": claimed.track_id})

    def _audio(self, claimed: BlobJob) -> Audio | None:
        """Give the audio when the track still wants it on the PDS."""
        with self._log.database.read() as connection:
            recorded = self._log.stream(connection, Track.create_id(claimed.track_id))
        track = self._log.fold(Track, recorded)
        return track.audio if track is not None and track.blob_accepts(claimed.audio_cid) else None

    async def _upload(self, claimed: BlobJob, audio: Audio) -> Verdict:
        limit = await self._pds.blob_limit(claimed.host)
        if limit is not None and audio.size > limit:
            return Verdict(
                Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, f"the PDS takes blobs of up to {limit} bytes"
            )
        try:
            verdict = await self._pds.upload(
                claimed.did, self._body(audio.cid), size=audio.size, mime=audio.mime, timeout=UPLOAD_SECONDS
            )
        except FileNotFoundError:
            return Verdict(Kind.REJECTED, MISSING_REASON, message=f"{audio.cid} is not in storage")
        if verdict.status == TOO_LARGE:
            return Verdict(Kind.REJECTED, TOO_LARGE_REASON, TOO_LARGE, verdict.message)
        if verdict.kind is Kind.DONE and not _is_whole(verdict.body, audio):
            return Verdict(Kind.AMBIGUOUS, "blob_mismatch", message=f"the PDS stored {verdict.body}")
        return verdict

    def _body(self, cid: str) -> BodyFactory:
        async def chunks() -> AsyncIterator[bytes]:
            source = await asyncio.to_thread(self._source.read, cid)
            while (chunk := await asyncio.to_thread(next, source, None)) is not None:
                yield chunk

        return chunks


def _due_jobs(connection: Connection, now: datetime, limit: int, *, lock: bool) -> Sequence[Any]:
    lane = mirror_lane.c
    statement = (
        select(blob_job, lane.host)
        .join(mirror_lane, lane.did == job.did)
        .where(
            or_(job.requested, job.again),
            job.not_before <= now,
            job.lease_until <= now,
            and_(lane.state == READY, ~lane.paused),
        )
        .order_by(job.not_before, job.track_id)
        .limit(limit)
    )
    if lock:
        statement = statement.with_for_update(of=blob_job, skip_locked=True)
    return connection.execute(statement).all()


def _settle(unit: Unit, claimed: BlobJob, audio: Audio | None, verdict: Verdict | None) -> None:
    """One unit: the lease is ours, the track is as it was, the event is appended, the job ends or waits."""
    row = unit.connection.execute(
        select(job.lease_epoch)
        .where(job.did == claimed.did, job.track_id == claimed.track_id)
        .with_for_update()
    ).one_or_none()
    if row is None or row.lease_epoch != claimed.epoch:
        raise LeaseLostError
    if audio is None or verdict is None:
        _end_job(unit, claimed, again=False)
        return
    track = unit.load(Track, Track.create_id(claimed.track_id))
    match verdict.kind:
        case Kind.DONE:
            track.record_blob(BlobRef(audio.cid, verdict.body["blob"]), at=unit.now)
            _end_job(unit, claimed, again=False, attempts=0, last_error=None)
            _release_target(unit, claimed)
        case Kind.REJECTED:
            track.record_blob_failure(verdict.error or "rejected", final=True, at=unit.now)
            _end_job(unit, claimed, again=False, last_error=f"{verdict.error}: {verdict.message}")
            _reject_target(unit, claimed, verdict)
        case Kind.SIGN_IN | Kind.INACTIVE | Kind.MOVED:
            park_lane(unit.connection, claimed.did, PARKING[verdict.kind])
            _end_job(unit, claimed)
        case _:
            pause = (
                timedelta(seconds=verdict.retry_after) if verdict.retry_after else backoff(claimed.attempts)
            )
            error = f"{verdict.error}: {verdict.message}"
            _end_job(
                unit, claimed, attempts=claimed.attempts + 1, not_before=unit.now + pause, last_error=error
            )
    unit.save(track)


def _end_job(unit: Unit, claimed: BlobJob, **columns: Any) -> None:
    unit.connection.execute(
        update(blob_job)
        .where(job.did == claimed.did, job.track_id == claimed.track_id)
        .values(lease_owner=None, lease_until=PAST, **columns)
    )


def _release_target(unit: Unit, claimed: BlobJob) -> None:
    """Let the record go on that waited for its blob."""
    target = mirror_target.c
    unit.connection.execute(
        update(mirror_target)
        .where(target.track_id == claimed.track_id, target.state == "blob")
        .values(state="idle", reason=None, not_before=PAST)
    )
    wake_lane(unit.connection, claimed.did, unit.now)


def _reject_target(unit: Unit, claimed: BlobJob, verdict: Verdict) -> None:
    target = mirror_target.c
    unit.connection.execute(
        update(mirror_target)
        .where(target.track_id == claimed.track_id, target.state == "blob")
        .values(state="rejected", reason=verdict.error)
    )


def _is_whole(body: Any, audio: Audio) -> bool:
    """Whether the reference names our bytes: a PDS that stored something else has not stored it."""
    match body:
        case {"blob": {"$type": "blob", "ref": {"$link": str(cid)}, "size": int(size)}}:
            return cid == audio.cid and size == audio.size
    return False
