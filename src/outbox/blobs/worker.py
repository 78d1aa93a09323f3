"""Uploads audio to PDSes in jobs beside the lanes, so that only the record that needs the blob waits for it.

1. claim the next account's job (claim.py), whose lease is extended while the upload goes on.
2. upload the bytes from storage, within the PDS's limit and while it takes them.
3. settle (jobs.py): BlobMigrated is appended, and the lane's next put names the blob; a PDS serves and keeps no other.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from aggregates.published import WithBlob
from aggregates.values import Audio
from eventstore.change import Envelope, Via
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Job, Outcome
from eventstore.jobs.kinds import Kind as JobKind
from outbox.blobs.claim import Upload, has_more_uploads, next_upload, upload_kind
from outbox.blobs.jobs import MISSING_REASON, judged, refused_unsent, settle_job
from outbox.mirror.failure_causes import count_failure
from outbox.mirror.hosts import HostReport, Hosts, PacedPds
from outbox.pds.verdict import Kind, Phase, Verdict, verdict_of_fault
from outbox.ports import NO_METRICS, AudioSource, RelayMetrics
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_CONCURRENT_READS: Final = 8
"""Reads from storage at once, in threads of their own: a store that hangs leaves the outbox its database."""
UPLOAD_TIMEOUT_SECONDS: Final = 1000.0
BLOB: Final = "blob"
"""The `op` label of uploads in metrics, beside put and delete."""


@dataclass
class Uploads:
    """What uploads a few blobs at a time, streamed from storage."""

    log: EventLog
    hosts: Hosts
    pds: PacedPds
    source: AudioSource
    metrics: RelayMetrics = NO_METRICS
    reads: Threads = field(default_factory=lambda: Threads("blob-reads", MAX_CONCURRENT_READS))

    def kind(self) -> JobKind:
        """Return what a worker runs: after a crash an upload is free within the lease, however large it is."""
        return upload_kind(self._work)

    async def _work(self, job: Job) -> Outcome:
        claimed = await in_thread(next_upload, self.log.database, job)
        if claimed is not None:
            await self._make(claimed)
        has_more = await in_thread(has_more_uploads, self.log.database, job.subject)
        return Outcome.AGAIN if has_more else Outcome.DONE

    async def _make(self, claimed: Upload) -> None:
        verdict = await self._attempt(claimed)
        if verdict is not None:  # the host's limits hold, whether or not the job is still ours
            verdict = replace(verdict, phase=Phase.UPLOAD)
            report = HostReport.of(claimed.host, claimed.did, verdict)
            await in_thread(self.hosts.record, report)
        await in_thread(self._settle, claimed, verdict)

    def _settle(self, claimed: Upload, verdict: Verdict | None) -> None:
        envelope = Envelope("relay", Via.RELAY, f"blob:{claimed.job.id}:{claimed.job.epoch}")
        self.log.transact(claimed.did, envelope, lambda unit: settle_job(unit, claimed, verdict))
        if verdict is not None and verdict.kind is not Kind.DONE:
            count_failure(self.log.database, claimed.host, verdict, did=claimed.did, subject=claimed.subject)

    async def _attempt(self, claimed: Upload) -> Verdict | None:
        """Upload; None when the record no longer needs the upload, or its lane is not ready."""
        try:
            audio = await in_thread(self._audio, claimed)
            return await self._upload(claimed, audio) if audio is not None else None
        except Exception as error:
            logger.exception("blob_upload_failed", extra=claimed.job.log_fields)
            return verdict_of_fault(error)

    def _audio(self, claimed: Upload) -> Audio | None:
        with self.log.database.read() as connection:
            latest = self.log.latest(
                claimed.did, claimed.subject.stream_id, lambda query: query.start(connection).all()
            )
        subject = latest.state if latest is not None else None
        is_wanted = isinstance(subject, WithBlob) and subject.wants_blob(claimed.audio_cid)
        return subject.blob_bytes if isinstance(subject, WithBlob) and is_wanted else None

    async def _upload(self, claimed: Upload, audio: Audio) -> Verdict | None:
        limit = await self.pds.blob_limit(claimed.host)
        if (refusal := refused_unsent(audio, limit)) is not None:
            return refusal
        if await in_thread(next_upload, self.log.database, claimed.job) != claimed:
            return None  # time has passed while the PDS answered
        send = self.pds.upload(
            claimed.host,
            claimed.did,
            lambda: self._chunks(audio.cid),
            size=audio.size,
            mime=audio.mime,
            timeout=UPLOAD_TIMEOUT_SECONDS,
        )
        try:
            verdict = judged(await send, audio)
        except FileNotFoundError:
            return Verdict(Kind.REJECTED, MISSING_REASON, message=f"{audio.cid} is not in storage")
        self.metrics.attempted(BLOB, verdict)
        return verdict

    async def _chunks(self, cid: str) -> AsyncIterator[bytes]:
        source = await self.reads.run(self.source.read, cid)
        # a StopIteration cannot leave a thread
        while chunk := await self.reads.run(partial(next, source, b"")):
            yield chunk
