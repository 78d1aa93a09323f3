"""Runs the adoptions that were asked for, in any number of processes: one at a time of an account, a few in each process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from eventstore.database import Database
from eventstore.errors import EventStoreError
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from outbox.mirror.lanes import LeaseLostError
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind
from replay.adoption import jobs as adoptions
from replay.adoption.adopt import Adoption, Progress
from replay.adoption.jobs import AdoptionJob
from replay.errors import PdsTroubleError
from replay.reconcile.verify import Repo
from storage.errors import StorageError

AT_ONCE: Final = 2
IDLE_SECONDS: Final = 15.0
"""At the longest between two looks: a request in this process wakes it, one in another may not."""
GATHER_SECONDS: Final = 0.5
"""One look for all that was committed meanwhile: every edit wakes this, and hardly any asks for an adoption."""
TELL_SECONDS: Final = 1.0

logger: Final = logging.getLogger("mastertape.replay")

HostOf = Callable[[str], Awaitable[str]]
"""Says where an account's PDS is; raises errors of identity."""
Shown = Callable[[Progress], None]


class AdoptionWorker:
    """`run` it beside the relay; `run_one` is for who waits for a certain one."""

    def __init__(
        self, database: Database, adoption: Adoption, host_of: HostOf, *, owner: str, lease: timedelta
    ) -> None:
        self._database = database
        self._adoption = adoption
        self._host_of = host_of
        self._owner = owner
        self._lease = lease
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look for work at once; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Go on until cancelled; what is under way then is given back, for others to go on with."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                try:
                    await self._start_due()
                except Exception:
                    logger.exception("adoption_claim_failed")  # a database that is away comes back
                await self._until_woken()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def run_one(self, did: str, shown: Shown) -> bool:
        """Run the account's adoption here and now; False when somebody is at it already."""
        claimed = await self._claim(did)
        if claimed is None:
            return False
        await self._do(claimed, shown)
        return True

    async def look(self, did: str) -> Progress:
        """Say what an adoption would find; raises what keeps it from being known."""
        return await self._adoption.look(Repo(did, await self._host_of(did)))

    async def _start_due(self) -> None:
        while len(self._running) < AT_ONCE:
            claimed = await self._claim()
            if claimed is None:
                return
            task = asyncio.create_task(self._do(claimed, lambda _progress: None))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def _claim(self, did: str | None = None) -> AdoptionJob | None:
        """Take a job. A thread cannot be cut off: who is told to go waits for it, and gives back what it has taken."""
        claiming = asyncio.create_task(
            asyncio.to_thread(adoptions.claim, self._database, owner=self._owner, lease=self._lease, did=did)
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            if (claimed := await claiming) is not None:
                await asyncio.to_thread(adoptions.give_back, self._database, claimed)
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error("adoption_not_settled", exc_info=task.exception())

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._woken.wait()
                await asyncio.sleep(GATHER_SECONDS)
        except TimeoutError:
            pass

    async def _do(self, claimed: AdoptionJob, shown: Shown) -> None:
        """Run it, and write down how it ended. One that was taken from us ends without a word."""
        progress = Progress()

        def tell(now: Progress) -> None:
            nonlocal progress
            progress = now
            shown(now)

        work = asyncio.create_task(self._run(claimed, tell))
        keeping = asyncio.create_task(self._keep(claimed, lambda: progress, work))
        try:
            await work
            await asyncio.to_thread(adoptions.end, self._database, claimed, progress)
            logger.info("records_adopted", extra={"did": claimed.did, **_counted(progress)})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await asyncio.to_thread(adoptions.give_back, self._database, claimed)
            if _is_cancelled():
                raise
        except LeaseLostError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it was stands in the row, for whoever asked
            await self._fail(claimed, progress, error)
        finally:
            keeping.cancel()

    async def _run(self, claimed: AdoptionJob, tell: Shown) -> None:
        repo = Repo(claimed.did, await self._host_of(claimed.did))
        await self._adoption.run(repo, claimed.envelope, tell, partial(adoptions.is_held, claimed=claimed))

    async def _keep(
        self, claimed: AdoptionJob, progress: Callable[[], Progress], work: asyncio.Task[None]
    ) -> None:
        """Write down how far it is every moment, which keeps the lease, until it is another's."""
        held = True
        while held:
            await asyncio.sleep(TELL_SECONDS)
            try:
                held = await asyncio.to_thread(
                    adoptions.note, self._database, claimed, progress(), self._lease
                )
            except Exception:
                logger.exception("adoption_not_noted", extra={"did": claimed.did})
        work.cancel()

    async def _fail(self, claimed: AdoptionJob, progress: Progress, error: Exception) -> None:
        if not isinstance(error, EXPECTED):
            logger.error("adoption_failed", exc_info=error, extra={"did": claimed.did})
        problem = (
            str(error)
            if isinstance(error, EXPECTED)
            else f"internal error: {type(error).__name__}; see the log `adoption_failed`"
        )
        await asyncio.to_thread(
            adoptions.fail, self._database, claimed, progress, problem, final=_cannot_help(error)
        )


EXPECTED: Final = (
    RemoteUnknownError,
    PdsTroubleError,
    UnknownIdentityError,
    IdentityUnreachableError,
    UnsafeAddressError,
    EventStoreError,
    StorageError,
)
"""What is said of these says what to do."""


def _is_cancelled() -> bool:
    """Whether it is the caller who is to end, and not the work that was taken from it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _counted(progress: Progress) -> dict[str, int]:
    return {name: getattr(progress, name) for name in ("found", "known", "adopted", "refused")}


def _cannot_help(error: Exception) -> bool:
    """Whether the same will be the case another time: nobody has such an account, or its address is refused."""
    if isinstance(error, RemoteUnknownError):
        return error.verdict.kind in {Kind.REJECTED, Kind.MOVED}
    return isinstance(error, UnknownIdentityError | UnsafeAddressError)
