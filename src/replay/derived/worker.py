"""The jobs that make renditions of covers and waveforms of audio: each kind in its own slots, one of an account at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from eventstore.coordination.threads import Threads
from eventstore.errors import ThreadsBusyError
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome
from eventstore.untrusted import clean
from identity.errors import FetchRefusedError, UnsafeAddressError
from replay.adoption.fetcher import Fetcher, OthersAddresses, named
from replay.derived.plan import request_recent
from storage.artwork import MAX_BYTES, in_background, read_artwork, read_renditions
from storage.derived.renditions import DerivedKind, keep_renditions
from storage.derived.waveforms import DecoderFailedError, keep_waveform, read_waveform
from storage.errors import MediaGoneError, RefusedMediaError, StorageError, StoreUnavailableError
from storage.media import Media
from storage.store import in_time
from storage.upload import Staged, staged_copy

MAX_CONCURRENT: Final[Mapping[DerivedKind, int]] = {
    DerivedKind.RENDITIONS: 1,
    DerivedKind.COVER: 4,
    DerivedKind.WAVEFORM: 1,
}
"""In a process; of covers at other hosts, one a host."""
MAX_ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 6 * 3600.0
MAX_PROBLEM_LENGTH: Final = 500
COVER_TIMEOUT_SECONDS: Final = 60.0
"""For an image elsewhere, whatever its host does."""
FINAL_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 410, 414, 451})
"""What another attempt does not change."""


@dataclass(frozen=True)
class DerivedMedia:
    """Makes what is derived from stored media, and from covers at addresses that accounts may name, which `others` allows."""

    storage: Media
    fetcher: Fetcher
    others: OthersAddresses
    threads: Threads

    def kinds(self) -> Sequence[Kind]:
        """Return the kinds of these jobs; the first requests what the tracks that changed last lack."""
        makers = {
            DerivedKind.RENDITIONS: self.renditions,
            DerivedKind.COVER: self.cover,
            DerivedKind.WAVEFORM: self.waveform,
        }
        return [
            Kind(
                kind,
                work,
                judge,
                max_concurrent=MAX_CONCURRENT[kind],
                max_per_host=1,
                first_pause_seconds=FIRST_PAUSE_SECONDS,
                max_pause_seconds=MAX_PAUSE_SECONDS,
                max_attempts=MAX_ATTEMPTS,
                find=request_recent if kind is DerivedKind.RENDITIONS else None,
            )
            for kind, work in makers.items()
        ]

    async def renditions(self, job: Job) -> Outcome:
        def read() -> Mapping[int, bytes]:
            return in_background(read_renditions)(b"".join(self.storage.read(job.subject)))

        return await self._keep(job.subject, await in_time(self.threads, MAX_BYTES, read))

    async def cover(self, job: Job) -> Outcome:
        async with asyncio.timeout(COVER_TIMEOUT_SECONDS):
            staged = await self.fetcher.staged(job.subject, MAX_BYTES, self.others)
        with staged:
            artwork = await in_time(self.threads, MAX_BYTES, in_background(read_artwork), staged)
        return await self._keep(job.subject, artwork.renditions)

    async def _keep(self, source: str, renditions: Mapping[int, bytes]) -> Outcome:
        size = sum(map(len, renditions.values()))
        await in_time(self.threads, size, keep_renditions, self.storage, source, renditions)
        return Outcome.DONE

    async def waveform(self, job: Job) -> Outcome:
        """Make that of stored audio: copy it to a file, and let a process of its own decode that."""
        storage, cid = self.storage, job.subject
        found = await self.threads.run(storage.find, cid)
        if found is None:
            raise MediaGoneError(cid)

        def copied() -> Staged:
            return staged_copy(storage.store.read(found.key), self.fetcher.folder, found.size)

        with await in_time(self.threads, found.size, copied) as staged:
            made = await read_waveform(staged.path)
        await self.threads.run(keep_waveform, storage.database, cid, made)
        return Outcome.DONE


def judge(error: Exception) -> Failure | None:
    """A source that is not what it has to be is not tried again; a store that is away is no fault of the source."""
    problem = clean(named(error), MAX_PROBLEM_LENGTH)
    match error:
        case StoreUnavailableError() | ThreadsBusyError():
            return Failure(problem, counted=False)
        case FetchRefusedError():
            return Failure(problem, final=error.status is None or error.status in FINAL_STATUSES)
        case UnsafeAddressError() | httpx.InvalidURL() | RefusedMediaError() | MediaGoneError():
            return Failure(problem, final=True)
        case httpx.HTTPError() | TimeoutError() | DecoderFailedError() | StorageError():
            return Failure(problem)
    return None
