"""Blobs: audio to the PDS, in jobs of their own, so that only the record that needs one waits for it.

Upload, then note BlobMigrated in one unit, then the lane's put names the reference: a PDS deletes a blob
that no record names, and serves none before one does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from aggregates.track import Track
from aggregates.values import Audio
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from outbox.backoff import backoff
from outbox.blobs.claim import claim_jobs
from outbox.blobs.jobs import (
    LEASE,
    MISSING_REASON,
    BlobJob,
    extend,
    give_back,
    may_be_sent,
    postpone,
    settle_job,
)
from outbox.blobs.progress_timeout import STALL_SECONDS, watched
from outbox.blobs.upload_results import judged, refused_unsent
from outbox.metrics import NO_METRICS, RelayMetrics
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import LeaseLostError
from outbox.mirror.paced_pds import PacedPds
from outbox.pds.verdict import (
    Kind,
    Phase,
    Verdict,
    verdict_of_exception,
    verdict_of_fault,
)
from outbox.ports import AudioSource
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

WORKERS: Final = 32
"""They only wait, each with a chunk in hand: hosts that swallow uploads are to leave room for others."""
READERS: Final = 8
"""So many of them read from storage at once, and leave the outbox's other threads to the database."""
UPLOAD_SECONDS: Final = 1000.0
SETTLE_TRIES: Final = 6
BLOB: Final = "blob"
"""What kind of attempt an upload is, beside put and delete."""


class BlobWorker:
    """Uploads a few blobs at a time, streamed from storage."""

    def __init__(
        self,
        log: EventLog,
        hosts: Hosts,
        pds: PacedPds,
        source: AudioSource,
        *,
        owner: str,
        lease: timedelta = LEASE,
        metrics: RelayMetrics = NO_METRICS,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._hosts = hosts
        self._pds = pds
        self._source = source
        self._owner = owner
        self._lease = lease
        self._reading = asyncio.Semaphore(READERS)
        self._uploads: dict[asyncio.Task[None], BlobJob] = {}

    @property
    def busy(self) -> bool:
        """Whether an upload is under way."""
        return bool(self._uploads)

    async def drain(self) -> None:
        """Wait for the uploads that are under way."""
        await asyncio.gather(*self._uploads, return_exceptions=True)

    async def stop(self, seconds: float) -> None:
        """Let the uploads that are under way end within this time; others may begin the rest again."""
        if self._uploads:
            _, late = await asyncio.wait(self._uploads, timeout=seconds)
            for upload in late:
                upload.cancel()
        await self.drain()

    async def start_due(self) -> bool:
        """Start what is due and there is room for."""
        room = WORKERS - len(self._uploads)
        if room <= 0:
            return False
        jobs = await in_thread(self._claim, room)
        for each in jobs:
            upload = asyncio.create_task(self._run(each))
            self._uploads[upload] = each
            upload.add_done_callback(self._uploads.pop)
        return bool(jobs)

    def _claim(self, room: int) -> list[BlobJob]:
        return claim_jobs(
            self._log.database,
            owner=self._owner,
            limit=room,
            lease=self._lease,
        )

    async def _run(self, claimed: BlobJob) -> None:
        keeping = asyncio.create_task(self._keep(claimed))
        try:
            verdict = await self._attempt(claimed)
            if verdict is not None:  # what the host asks for holds whatever becomes of the job
                report = HostReport.of(claimed.host, claimed.did, verdict)
                await in_thread(self._hosts.record_if_changed, report)
            await self._settle(claimed, verdict)
        except LeaseLostError:
            logger.warning("blob_lease_lost", extra=self._named(claimed))
            self._metrics.lease_lost(fenced=True)
        except asyncio.CancelledError:
            await in_thread(give_back, self._log.database, claimed)
            raise
        except Exception as error:
            logger.exception("blob_job_failed", extra=self._named(claimed))
            await self._postpone(claimed, error)
        finally:
            keeping.cancel()

    async def _postpone(self, claimed: BlobJob, error: Exception) -> None:
        """Try again later, and ever more rarely, what could not be written down: each time, all of it is sent again."""
        try:
            await in_thread(postpone, self._log.database, claimed, f"{type(error).__name__}: {error}")
        except Exception:  # its lease ends by itself
            logger.exception("blob_job_not_postponed", extra=self._named(claimed))

    async def _keep(self, claimed: BlobJob) -> None:
        """Extend the lease until the job is another's: a settle that comes too late finds that out itself."""
        held = True
        while held:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                held = await in_thread(extend, self._log.database, claimed, self._lease)
            except Exception:
                logger.exception("blob_lease_not_extended", extra=self._named(claimed))

    async def _attempt(self, claimed: BlobJob) -> Verdict | None:
        """Upload; None when the track does not want its audio on the PDS any more, or its lane does not work."""
        try:
            audio = await in_thread(self._audio, claimed)
            return await self._upload(claimed, audio) if audio is not None else None
        except Exception as error:
            logger.exception("blob_upload_failed", extra=self._named(claimed))
            return verdict_of_fault(error)

    async def _settle(self, claimed: BlobJob, verdict: Verdict | None) -> None:
        """Write it down, also when the database is away for a moment: an upload is dear."""
        envelope = Envelope("relay", "relay", self._request_id(claimed))
        for failures in range(SETTLE_TRIES):
            try:
                await in_thread(
                    self._log.transact, claimed.did, envelope, lambda unit: settle_job(unit, claimed, verdict)
                )
            except LeaseLostError:
                raise
            except Exception:
                if failures + 1 == SETTLE_TRIES:
                    raise
                logger.exception("blob_settle_failed", extra=self._named(claimed))
                await asyncio.sleep(backoff(failures).total_seconds())
            else:
                return

    def _request_id(self, claimed: BlobJob) -> str:
        return f"{self._owner}:blob:{claimed.epoch}"

    def _named(self, claimed: BlobJob) -> dict[str, object]:
        facts = {"did": claimed.did, "host": claimed.host, "epoch": claimed.epoch}
        return {**facts, "track_id": claimed.track_id, "request_id": self._request_id(claimed)}

    def _audio(self, claimed: BlobJob) -> Audio | None:
        with self._log.database.read() as connection:
            if not self._may_send_on(connection, claimed):
                return None
            recorded = self._log.stream(connection, Track.create_id(claimed.track_id))
        track = self._log.fold(Track, recorded)
        return track.audio if track is not None and track.blob_accepts(claimed.audio_cid) else None

    def _may_send(self, claimed: BlobJob) -> bool:
        with self._log.database.read_committed() as connection:
            return self._may_send_on(connection, claimed)

    def _may_send_on(self, connection: Connection, claimed: BlobJob) -> bool:
        return may_be_sent(connection, claimed, self._log.database.now(connection))

    async def _upload(self, claimed: BlobJob, audio: Audio) -> Verdict | None:
        limit = await self._pds.blob_limit(claimed.host)
        if (refusal := refused_unsent(audio, limit)) is not None:
            return refusal
        if not await in_thread(self._may_send, claimed):  # the PDS may have taken its time to tell its limit
            return None
        try:
            verdict = judged(await self._send(claimed, audio), audio)
        except FileNotFoundError:
            return Verdict(Kind.REJECTED, MISSING_REASON, message=f"{audio.cid} is not in storage")
        self._metrics.attempted(BLOB, verdict)
        if verdict.kind is Kind.PACED:
            self._metrics.paced(verdict)
        if verdict.kind is Kind.DONE:
            self._metrics.uploaded(audio.size)
        return verdict

    async def _send(self, claimed: BlobJob, audio: Audio) -> Verdict:
        try:
            async with asyncio.timeout(STALL_SECONDS) as patience:
                return await self._pds.upload(
                    claimed.host,
                    claimed.did,
                    lambda: watched(self._chunks(audio.cid), patience),
                    size=audio.size,
                    mime=audio.mime,
                    timeout=UPLOAD_SECONDS,
                )
        except TimeoutError as error:
            if not patience.expired():
                raise
            verdict = verdict_of_exception(error, Phase.UPLOAD)
            return replace(verdict, message="the PDS took nothing more, or did not answer")

    async def _chunks(self, cid: str) -> AsyncIterator[bytes]:
        async with self._reading:
            source = await in_thread(self._source.read, cid)
        while True:
            async with self._reading:
                chunk = await in_thread(_next_chunk, source)
            if not chunk:
                return
            yield chunk


def _next_chunk(source: Iterator[bytes]) -> bytes:
    """Return the next bytes, and none at the end: a StopIteration cannot leave a thread."""
    return next(source, b"")
