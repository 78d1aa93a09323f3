"""The loop of a background worker, which starts what is due whenever a commit wakes it, and at intervals without."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from outbox.mirror.lanes import LeaseLostError

POLL_SECONDS: Final = 15.0
"""At the longest: a request in this process wakes the worker, one in another process may not."""
DEBOUNCE_SECONDS: Final = 0.5
"""One poll for all that was committed meanwhile: every edit wakes the worker, and hardly any is work for it."""

HEARTBEAT_SECONDS: Final = 1.0

J = TypeVar("J")
T = TypeVar("T")


class WorkerLoop(Generic[T]):
    """Calls `start_due`, which starts tasks, and cancels those that run when it is cancelled itself."""

    def __init__(
        self,
        start_due: Callable[[], Awaitable[object]],
        *,
        logger: logging.Logger,
        claim_failed: str,
        not_settled: str,
    ) -> None:
        self._start_due: Final = start_due
        self._logger: Final = logger
        self._claim_failed: Final = claim_failed
        self._not_settled: Final = not_settled
        """The log event of a task that ended with an error."""
        self._woken: Final = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.running: Final[dict[asyncio.Task[object], T]] = {}
        """By task, what it works on."""

    def wake(self) -> None:
        """Poll for work at once; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                try:
                    await self._start_due()
                except Exception:
                    self._logger.exception(self._claim_failed)  # the next poll tries again
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()
                        await asyncio.sleep(DEBOUNCE_SECONDS)
        finally:
            for task in self.running:
                task.cancel()
            await asyncio.gather(*self.running, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, object], of: T) -> None:
        """Start a task; its end wakes the loop, since another may begin."""
        task = asyncio.create_task(work)
        self.running[task] = of
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        del self.running[task]
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error(self._not_settled, exc_info=error)


async def claimed_by(
    claim: Coroutine[Any, Any, J | None], release: Callable[[J], Awaitable[None]]
) -> J | None:
    """Return what a claim in a thread finds. A thread cannot be cancelled: a cancellation waits for it, and releases the job."""
    claiming = asyncio.create_task(claim)
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        if (claimed := await claiming) is not None:
            await release(claimed)
        raise


async def while_leased(
    work: Coroutine[Any, Any, J],
    extend: Callable[[], Awaitable[bool]],
    logger: logging.Logger,
    named: Mapping[str, object],
) -> J:
    """Return what the work returns, and extend its lease meanwhile; raises LeaseLostError once `extend` says that it is lost.

    Then, as when the caller is cancelled, the work's task is cancelled and has ended before this does; what a thread of it
    does goes on, and finds its claim lost. `named` says in the log whose lease it is.
    """
    working = asyncio.create_task(work)
    extending = asyncio.create_task(_extend(extend, logger, named))
    try:
        await asyncio.wait({working, extending}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise LeaseLostError
        return working.result()
    finally:
        working.cancel()
        extending.cancel()
        await asyncio.gather(working, extending, return_exceptions=True)


async def _extend(
    extend: Callable[[], Awaitable[bool]], logger: logging.Logger, named: Mapping[str, object]
) -> None:
    """Return once the lease is lost."""
    is_held = True
    while is_held:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        try:
            is_held = await extend()
        except Exception:
            # the next beat tries again, until the lease is over
            logger.exception("lease_not_extended", extra=named)
