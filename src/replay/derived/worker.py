"""Makes what is derived from media, in any number of processes: each kind in its own slots, the longest wait first.

1. Request what the tracks that changed last lack.
2. Claim what is due, as long as its kind has a free slot.
3. Make it; finish, fail or retry its job.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from eventstore.coordination.threads import Threads
from eventstore.database import Database
from eventstore.errors import ThreadsBusyError
from eventstore.foreign_text import clean
from outbox.backoff import backoff
from replay.derived.covers import CannotBeMadeError, NotMadeError
from replay.derived.plan import request_recent
from storage.derived import jobs
from storage.derived.jobs import DerivedJob, DerivedKind
from storage.errors import MediaGoneError, StorageError, StoreUnavailableError

POLL_SECONDS: Final = 15.0
DEBOUNCE_SECONDS: Final = 0.5
"""One poll for all that was committed meanwhile."""
MAX_CONCURRENT: Final[Mapping[DerivedKind, int]] = {
    DerivedKind.RENDITIONS: 1,
    DerivedKind.COVER: 4,
    DerivedKind.WAVEFORM: 1,
}
"""In a process. Of images elsewhere, one of each host."""
MAX_PROBLEM_LENGTH: Final = 500

logger: Final = logging.getLogger("mastertape.replay")

Maker = Callable[[str], Awaitable[None]]
"""Makes and keeps what is derived from a source; raises CannotBeMadeError, NotMadeError or StorageError."""


@dataclass(frozen=True)
class _Task:
    kind: DerivedKind
    host: str


class DerivedWorker:
    """`run` works beside the relay; `makers` has one of each kind."""

    def __init__(self, database: Database, threads: Threads, makers: Mapping[DerivedKind, Maker]) -> None:
        self._database: Final = database
        self._threads: Final = threads
        self._makers: Final = makers
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[asyncio.Task[None], _Task] = {}

    def wake(self) -> None:
        """Poll for work at once; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled; jobs that are running then are released, so that another process makes them."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                try:
                    await self.start_due()
                except Exception:
                    logger.exception("derived_claim_failed")  # the next poll tries again
                await self._until_woken()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def run_once(self) -> None:
        """Make all that is due."""
        is_idle = False
        while await self.start_due() or not is_idle:
            if self._running:
                await asyncio.wait({*self._running})
            is_idle = not self._running

    async def start_due(self) -> bool:
        """Request what recent changes lack, start what is due, and return whether there was any."""
        has_started = False
        await self._threads.run(request_recent, self._database)
        for kind in self._makers:
            while self._count(kind) < MAX_CONCURRENT[kind]:
                if (claimed := await self._claim(kind)) is None:
                    break
                task = asyncio.create_task(self._make(claimed))
                self._running[task] = _Task(kind, claimed.host)
                task.add_done_callback(self._ended)
                has_started = True
        return has_started

    def _count(self, kind: DerivedKind) -> int:
        return sum(each.kind is kind for task, each in self._running.items() if not task.done())

    async def _claim(self, kind: DerivedKind) -> DerivedJob | None:
        """Claim a job. A thread cannot be cancelled: a cancellation waits for it, and releases what it has claimed."""
        busy_hosts = {each.host for task, each in self._running.items() if each.host and not task.done()}
        claiming = asyncio.create_task(self._threads.run(jobs.claim, self._database, kind, busy_hosts))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            if (claimed := await claiming) is not None:
                await self._release(claimed)
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("derived_not_settled", exc_info=error)  # its lease expires, and it is tried again

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(DEBOUNCE_SECONDS)

    async def _make(self, claimed: DerivedJob) -> None:
        try:
            await self._makers[claimed.kind](claimed.source)
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        except (CannotBeMadeError, MediaGoneError) as error:
            logger.info("derived_cannot_be_made", extra=_named(claimed, error))
            await self._threads.run(jobs.fail, self._database, claimed, _text(error))
        except (StoreUnavailableError, ThreadsBusyError) as error:
            await self._retry(claimed, error, counted=False)
        except (NotMadeError, StorageError) as error:
            await self._retry(claimed, error)
        except Exception as error:
            logger.exception("derived_failed", extra=_named(claimed, error))
            await self._retry(claimed, error)
        else:
            await self._threads.run(jobs.finish, self._database, claimed)

    async def _retry(self, claimed: DerivedJob, error: Exception, *, counted: bool = True) -> None:
        pause = backoff(claimed.attempts, first=jobs.FIRST_PAUSE_SECONDS, cap=jobs.MAX_PAUSE_SECONDS)
        logger.info("derived_retried", extra=_named(claimed, error))
        await self._threads.run(jobs.retry, self._database, claimed, _text(error), pause, counted=counted)

    async def _release(self, claimed: DerivedJob) -> None:
        await self._threads.run(jobs.release, self._database, claimed)


def _text(error: Exception) -> str:
    return clean(error, MAX_PROBLEM_LENGTH)


def _named(claimed: DerivedJob, error: Exception) -> dict[str, str]:
    return {"kind": claimed.kind, "source": claimed.source, "reason": _text(error)}
