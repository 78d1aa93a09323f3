"""Runs requested adoptions in any number of processes, in turns: one of an account, and a few in each process."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from eventstore.coordination.threads import Threads
from eventstore.database import Database
from eventstore.errors import EventStoreError
from eventstore.foreign_text import clean
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from outbox.mirror.lanes import LeaseLostError
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind
from replay.adoption import jobs as adoptions
from replay.adoption.adopt import Adoption, Report
from replay.adoption.jobs import AdoptionJob
from replay.adoption.progress import Progress
from replay.errors import PdsTroubleError, TooManyProblemsError
from replay.reconcile.verify import Repo
from storage.errors import StorageError

MAX_CONCURRENT_ADOPTIONS: Final = 4
MAX_CONCURRENT_ADOPTIONS_OF_HOST: Final = 2
"""A slow PDS leaves room for the accounts of others."""
POLL_SECONDS: Final = 15.0
"""At the longest: a request in this process wakes the worker, one in another process may not."""
DEBOUNCE_SECONDS: Final = 0.5
"""One poll for all that was committed meanwhile: every edit wakes the worker, and hardly any requests an adoption."""
HEARTBEAT_SECONDS: Final = 1.0

logger: Final = logging.getLogger("mastertape.replay")

HostOf = Callable[[str], Awaitable[str]]
"""Resolves an account's PDS; raises errors of identity."""


class AdoptionWorker:
    """`run` works beside the relay; `run_one` runs one account's adoption for the caller."""

    def __init__(
        self,
        database: Database,
        adoption: Adoption,
        host_of: HostOf,
        threads: Threads,
        *,
        owner: str,
        lease: timedelta,
    ) -> None:
        self._database = database
        self._adoption = adoption
        self._host_of = host_of
        self._threads = threads
        self._owner = owner
        self._lease = lease
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[asyncio.Task[bool], str] = {}
        """By task, the PDS of its account."""

    def wake(self) -> None:
        """Poll for work at once; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled; adoptions that are running then are released, so that another process continues them."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                try:
                    await self._start_due()
                except Exception:
                    logger.exception("adoption_claim_failed")  # the next poll tries again
                await self._until_woken()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def run_one(self, did: str, report: Report) -> bool:
        """Run the account's adoption now, all of its turns; False when another process runs it."""
        claimed = await self._claim(did)
        if claimed is None:
            return False
        while claimed is not None and await self._run_claimed(claimed, report):
            claimed = await self._claim(did)
        return True

    async def preview(self, did: str) -> Progress:
        """Return what an adoption would find; raises errors of identity, RemoteUnknownError and PdsTroubleError."""
        return await self._adoption.preview(Repo(did, await self._host_of(did)))

    async def _start_due(self) -> None:
        while len(self._running) < MAX_CONCURRENT_ADOPTIONS:
            claimed = await self._claim()
            if claimed is None:
                return
            task = asyncio.create_task(self._run_claimed(claimed, lambda _progress: None))
            self._running[task] = claimed.host
            task.add_done_callback(self._ended)

    async def _claim(self, did: str | None = None) -> AdoptionJob | None:
        """Claim a job. A thread cannot be cancelled: a cancellation waits for it, and releases what it has claimed."""
        claiming = asyncio.create_task(
            self._threads.run(
                adoptions.claim,
                self._database,
                owner=self._owner,
                lease=self._lease,
                did=did,
                except_hosts=self._busy_hosts(),
            )
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            if (claimed := await claiming) is not None:
                await self._threads.run(adoptions.release, self._database, claimed, claimed.progress)
            raise

    def _busy_hosts(self) -> set[str]:
        counts = Counter(host for host in self._running.values() if host)
        return {host for host, count in counts.items() if count >= MAX_CONCURRENT_ADOPTIONS_OF_HOST}

    def _ended(self, task: asyncio.Task[bool]) -> None:
        del self._running[task]
        self._woken.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error("adoption_not_settled", exc_info=task.exception())

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
                await asyncio.sleep(DEBOUNCE_SECONDS)
        except TimeoutError:
            pass

    async def _run_claimed(self, claimed: AdoptionJob, report: Report) -> bool:
        """Run a turn of it, record how that ended, and return whether there is another; a lost lease is another worker's to record."""
        progress = claimed.progress
        work = asyncio.create_task(self._adopt(claimed, progress, report))
        heartbeat = asyncio.create_task(self._keep_lease(claimed, progress, work))
        try:
            is_done = await work
            end = adoptions.finish if is_done else adoptions.end_turn
            await self._threads.run(end, self._database, claimed, progress)
            logger.info("records_adopted", extra={"did": claimed.did, "done": is_done, **_counts(progress)})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._threads.run(adoptions.release, self._database, claimed, progress)
            if _is_cancelled():
                raise
        except LeaseLostError:
            pass
        except Exception as error:  # noqa: BLE001 - the row shows it to the owner, whatever it was
            await self._fail(claimed, progress, error)
        else:
            return not is_done
        finally:
            heartbeat.cancel()
        return False

    async def _adopt(self, claimed: AdoptionJob, progress: Progress, report: Report) -> bool:
        repo = Repo(claimed.did, await self._host_of(claimed.did))
        is_wanted = partial(adoptions.is_held, claimed=claimed)
        return await self._adoption.run(repo, claimed.envelope, progress, report=report, is_wanted=is_wanted)

    async def _keep_lease(self, claimed: AdoptionJob, progress: Progress, work: asyncio.Task[bool]) -> None:
        """Record the progress at intervals, which extends the lease; cancel the work when the lease is lost."""
        held = True
        while held:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                held = await self._threads.run(
                    adoptions.record_progress, self._database, claimed, progress, self._lease
                )
            except Exception:
                logger.exception("adoption_not_noted", extra={"did": claimed.did})
        work.cancel()

    async def _fail(self, claimed: AdoptionJob, progress: Progress, error: Exception) -> None:
        if isinstance(error, EXPECTED):
            problem = clean(error)
        else:
            logger.error("adoption_failed", exc_info=error, extra={"did": claimed.did})
            problem = f"internal error: {type(error).__name__}; see the log `adoption_failed`"
        await self._threads.run(
            adoptions.fail, self._database, claimed, progress, problem, final=_is_final(error)
        )


EXPECTED: Final = (
    RemoteUnknownError,
    PdsTroubleError,
    TooManyProblemsError,
    UnknownIdentityError,
    IdentityUnreachableError,
    UnsafeAddressError,
    EventStoreError,
    StorageError,
)
"""Their messages say what to do."""


def _is_cancelled() -> bool:
    """Whether the current task is being cancelled, and not only the work that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _counts(progress: Progress) -> dict[str, int]:
    return {name: getattr(progress, name) for name in ("found", "known", "adopted", "refused")}


def _is_final(error: Exception) -> bool:
    """Whether another attempt cannot help: there is no such account, or its address is refused."""
    if isinstance(error, RemoteUnknownError):
        return error.verdict.kind in {Kind.REJECTED, Kind.MOVED}
    return isinstance(error, UnknownIdentityError | UnsafeAddressError)
