"""Lets any number of callers wait for a state that other processes change: one poll for all, no thread for each."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from eventstore.coordination.threads import Threads

K = TypeVar("K")
S = TypeVar("S")


@dataclass(eq=False)
class _Waiter(Generic[K, S]):
    key: K
    verdict: Callable[[S], bool | None]
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def check(self, state: S) -> None:
        if not self.done.done() and (verdict := self.verdict(state)) is not None:
            self.done.set_result(verdict)


class Poller(Generic[K, S]):
    """Polls with `read`, in a thread and only while there are waiters: it gets their keys, and returns the states it finds."""

    def __init__(
        self,
        read: Callable[[list[K]], Mapping[K, S]],
        threads: Threads,
        *,
        every_seconds: float,
        logger: logging.Logger,
        failed: str,
    ) -> None:
        self._read: Final = read
        self._threads: Final = threads
        self._every_seconds: Final = every_seconds
        self._logger: Final = logger
        self._failed: Final = failed
        """The log event of a poll that failed."""
        self._waiters: set[_Waiter[K, S]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._woken: Final = asyncio.Event()
        self._stopped = False

    async def wait(self, key: K, verdict: Callable[[S], bool | None], seconds: float) -> bool:
        """Return the first verdict on a state of the key; False when the time is up or the poller stops.

        A verdict is True (met), False (time alone will not help) or None (wait on).
        """
        if self._stopped or seconds <= 0:
            return False
        waiter = _Waiter(key, verdict)
        self._waiters.add(waiter)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            return await asyncio.wait_for(waiter.done, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)

    def is_awaited(self, key: K) -> bool:
        return any(waiter.key == key for waiter in self._waiters)

    def tell(self, states: Mapping[K, S]) -> None:
        """Check the waiters with states that the caller, in the loop's thread, knows of these keys."""
        for waiter in self._waiters:
            if waiter.key in states:
                waiter.check(states[waiter.key])

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        """End every wait, now and later, so that no stream holds up the end of its process."""
        self._stopped = True
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_result(False)

    async def finish(self) -> None:
        """Wait for the poll under way, once there are no waiters: afterwards the database is not read any more."""
        self.wake()
        if self._polling is not None:
            await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll(self) -> None:
        while awaited := {waiter.key for waiter in self._waiters if not waiter.done.done()}:
            self._woken.clear()
            states: Mapping[K, S] = {}
            try:
                states = await self._threads.run(self._read, list(awaited))
            except Exception:
                self._logger.exception(self._failed)  # the database may be back before time is up
            self.tell(states)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._every_seconds)
