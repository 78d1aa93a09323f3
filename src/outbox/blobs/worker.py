"""Uploads audio to PDSes in jobs beside the lanes, so that only the record that needs the blob waits for it.

1. claim a job (claim.py) and extend its lease while the upload goes on.
2. upload the bytes from storage, within the PDS's limit and with a progress timeout.
3. settle (jobs.py): BlobMigrated is appended, and the lane's next put names the blob; a PDS serves and keeps no other.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from aggregates.published import WithBlob
from aggregates.values import Audio
from eventstore.change import Envelope, Via
from eventstore.coordination.backoff import backoff
from eventstore.coordination.threads import Threads
from eventstore.errors import LeaseLostError
from eventstore.event_log import EventLog
from outbox.blobs.claim import claim_jobs
from outbox.blobs.jobs import (
    JOB_LEASE,
    MISSING_REASON,
    BlobJob,
    extend_lease,
    may_upload,
    postpone,
    release_job,
    settle_job,
)
from outbox.blobs.progress_timeout import STALL_TIMEOUT_SECONDS, watched
from outbox.blobs.upload_results import judged, refused_unsent
from outbox.metrics import NO_METRICS, RelayMetrics
from outbox.mirror.failure_causes import count_failure
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
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

MAX_CONCURRENT_UPLOADS: Final = 32
"""Many, since each holds only one chunk: hosts that hang on uploads leave room for others."""
MAX_CONCURRENT_READS: Final = 8
"""Reads from storage at once, in threads of their own: a store that hangs leaves the outbox its database."""
UPLOAD_TIMEOUT_SECONDS: Final = 1000.0
MAX_SETTLE_ATTEMPTS: Final = 6
BLOB: Final = "blob"
"""The `op` label of uploads in metrics, beside put and delete."""


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
        lease: timedelta = JOB_LEASE,
        metrics: RelayMetrics = NO_METRICS,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._hosts = hosts
        self._pds = pds
        self._source = source
        self._owner = owner
        self._lease = lease
        self._reads = Threads("blob-reads", MAX_CONCURRENT_READS)
        self._uploads: dict[asyncio.Task[None], BlobJob] = {}

    @property
    def busy(self) -> bool:
        """Whether an upload is in flight."""
        return bool(self._uploads)

    async def drain(self) -> None:
        """Wait for the uploads in flight."""
        await asyncio.gather(*self._uploads, return_exceptions=True)

    async def stop(self, seconds: float) -> None:
        """Let the uploads in flight end within this time; cancel the rest, whose jobs are free at once."""
        if self._uploads:
            _, late = await asyncio.wait(self._uploads, timeout=seconds)
            for upload in late:
                upload.cancel()
        await self.drain()

    async def start_due(self) -> bool:
        """Start due uploads while there is room; returns whether any was started."""
        room = MAX_CONCURRENT_UPLOADS - len(self._uploads)
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
        extending = asyncio.create_task(self._extend_lease(claimed))
        try:
            verdict = await self._attempt(claimed)
            if verdict is not None:  # the host's limits hold, whether or not the job is still ours
                verdict = replace(verdict, phase=Phase.UPLOAD)
                report = HostReport.of(claimed.host, claimed.did, verdict)
                await in_thread(self._hosts.record_if_changed, report)
            await self._settle(claimed, verdict)
            if verdict is not None and verdict.kind is not Kind.DONE:
                await in_thread(self._count_failure, claimed, verdict)
        except LeaseLostError:
            logger.warning("blob_lease_lost", extra=self._log_fields(claimed))
            self._metrics.fenced()
        except asyncio.CancelledError:
            await in_thread(release_job, self._log.database, claimed)
            raise
        except Exception as error:
            logger.exception("blob_job_failed", extra=self._log_fields(claimed))
            await self._postpone(claimed, error)
        finally:
            extending.cancel()

    def _count_failure(self, claimed: BlobJob, verdict: Verdict) -> None:
        count_failure(
            self._log.database, claimed.host, verdict, did=claimed.did, subject_id=claimed.subject_id
        )

    async def _extend_lease(self, claimed: BlobJob) -> None:
        """Extend the lease until the job is lost, which the settling finds out."""
        held = True
        while held:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                held = await in_thread(extend_lease, self._log.database, claimed, self._lease)
            except Exception:
                logger.exception("blob_lease_not_extended", extra=self._log_fields(claimed))

    async def _attempt(self, claimed: BlobJob) -> Verdict | None:
        """Upload; None when the record no longer needs the upload, or its lane is not ready."""
        try:
            audio = await in_thread(self._audio, claimed)
            return await self._upload(claimed, audio) if audio is not None else None
        except Exception as error:
            logger.exception("blob_upload_failed", extra=self._log_fields(claimed))
            return verdict_of_fault(error)

    def _audio(self, claimed: BlobJob) -> Audio | None:
        with self._log.database.read() as connection:
            if not self._may_upload_on(connection, claimed):
                return None
            recorded = self._log.stream(connection, claimed.subject.stream_id)
        subject = self._log.fold(WithBlob, recorded)  # type: ignore[type-abstract]
        is_wanted = subject is not None and subject.wants_blob(claimed.audio_cid)
        return subject.blob_bytes if subject is not None and is_wanted else None

    async def _upload(self, claimed: BlobJob, audio: Audio) -> Verdict | None:
        limit = await self._pds.blob_limit(claimed.host)
        if (refusal := refused_unsent(audio, limit)) is not None:
            return refusal
        if not await in_thread(self._may_upload, claimed):  # time has passed while the PDS answered
            return None
        try:
            verdict = judged(await self._send(claimed, audio), audio)
        except FileNotFoundError:
            return Verdict(Kind.REJECTED, MISSING_REASON, message=f"{audio.cid} is not in storage")
        self._metrics.attempted(BLOB, verdict)
        return verdict

    def _may_upload(self, claimed: BlobJob) -> bool:
        with self._log.database.read_committed() as connection:
            return self._may_upload_on(connection, claimed)

    def _may_upload_on(self, connection: Connection, claimed: BlobJob) -> bool:
        return may_upload(connection, claimed, self._log.database.now(connection))

    async def _send(self, claimed: BlobJob, audio: Audio) -> Verdict:
        try:
            async with asyncio.timeout(STALL_TIMEOUT_SECONDS) as progress:
                return await self._pds.upload(
                    claimed.host,
                    claimed.did,
                    lambda: watched(self._chunks(audio.cid), progress),
                    size=audio.size,
                    mime=audio.mime,
                    timeout=UPLOAD_TIMEOUT_SECONDS,
                )
        except TimeoutError as error:
            if not progress.expired():
                raise
            verdict = verdict_of_exception(error, Phase.UPLOAD)
            return replace(verdict, message="the PDS took nothing more, or did not answer")

    async def _chunks(self, cid: str) -> AsyncIterator[bytes]:
        source = await self._reads.run(self._source.read, cid)
        while chunk := await self._reads.run(_next_chunk, source):
            yield chunk

    async def _settle(self, claimed: BlobJob, verdict: Verdict | None) -> None:
        """Settle, and retry while the database is away, since an upload is expensive."""
        envelope = Envelope("relay", Via.RELAY, self._request_id(claimed))
        for failures in range(MAX_SETTLE_ATTEMPTS):
            try:
                await in_thread(
                    self._log.transact,
                    claimed.did,
                    envelope,
                    lambda unit: settle_job(unit, claimed, verdict),
                )
            except LeaseLostError:
                raise
            except Exception:
                if failures + 1 == MAX_SETTLE_ATTEMPTS:
                    raise
                logger.exception("blob_settle_failed", extra=self._log_fields(claimed))
                await asyncio.sleep(backoff(failures).total_seconds())
            else:
                return

    async def _postpone(self, claimed: BlobJob, error: Exception) -> None:
        """Back off a job whose result could not be settled: each retry sends all of its bytes again."""
        try:
            await in_thread(postpone, self._log.database, claimed, f"{type(error).__name__}: {error}")
        except Exception:  # the lease expires
            logger.exception("blob_job_not_postponed", extra=self._log_fields(claimed))

    def _request_id(self, claimed: BlobJob) -> str:
        return f"{self._owner}:blob:{claimed.epoch}"

    def _log_fields(self, claimed: BlobJob) -> dict[str, object]:
        facts = {"did": claimed.did, "host": claimed.host, "epoch": claimed.epoch}
        return {**facts, "track_id": claimed.subject_id, "request_id": self._request_id(claimed)}


def _next_chunk(source: Iterator[bytes]) -> bytes:
    """Return the next bytes, empty at the end: a StopIteration cannot leave a thread."""
    return next(source, b"")
