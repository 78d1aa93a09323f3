"""The worker that makes renditions and waveforms, in any number of processes: each kind in its own slots, the longest wait first.

1. Request the renditions and waveforms that the tracks that changed last do not have.
2. Claim the jobs that are due, as long as their kind has a free slot.
3. Run the maker of the job's kind; finish, fail or retry the job.
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
from replay.worker_loop import WorkerLoop, claimed_by
from storage.derived import jobs
from storage.derived.jobs import DerivedJob, DerivedKind
from storage.errors import MediaGoneError, StorageError, StoreUnavailableError, TakenDownError

MAX_CONCURRENT: Final[Mapping[DerivedKind, int]] = {
    DerivedKind.RENDITIONS: 1,
    DerivedKind.COVER: 4,
    DerivedKind.WAVEFORM: 1,
}
"""In a process; of covers at other hosts, one a host."""
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
        self._loop: Final = WorkerLoop[_Task](
            self.start_due,
            logger=logger,
            claim_failed="derived_claim_failed",
            not_settled="derived_not_settled",  # its lease expires, and it is tried again
        )

    def wake(self) -> None:
        """Poll for work at once; callable from any thread."""
        self._loop.wake()

    async def run(self) -> None:
        """Work until cancelled; jobs that are running then are released, so that another process makes them."""
        await self._loop.run()

    async def run_once(self) -> None:
        """Make all that is due."""
        is_idle = False
        while await self.start_due() or not is_idle:
            if self._loop.running:
                await asyncio.wait({*self._loop.running})
            is_idle = not self._loop.running

    async def start_due(self) -> bool:
        """Request what recent changes lack, start what is due, and return whether there was any."""
        has_started = False
        await self._threads.run(request_recent, self._database)
        for kind in self._makers:
            while self._count(kind) < MAX_CONCURRENT[kind]:
                if (claimed := await self._claim(kind)) is None:
                    break
                self._loop.start(self._make(claimed), _Task(kind, claimed.host))
                has_started = True
        return has_started

    def _count(self, kind: DerivedKind) -> int:
        return sum(each.kind is kind for each in self._loop.running.values())

    async def _claim(self, kind: DerivedKind) -> DerivedJob | None:
        busy_hosts = {each.host for each in self._loop.running.values() if each.host}
        claim = self._threads.run(jobs.claim, self._database, kind, busy_hosts)
        return await claimed_by(claim, self._release)

    async def _make(self, claimed: DerivedJob) -> None:
        try:
            await self._makers[claimed.kind](claimed.source)
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        except (CannotBeMadeError, MediaGoneError, TakenDownError) as error:
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
