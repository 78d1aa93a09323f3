"""What all streams of a process may take of it together: a share of its time, in turns, and threads of their own.

A stream whose turn has not come is not read: TCP holds it back, and a scan finds what is heard too late.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import Final, ParamSpec, TypeVar

from eventstore.coordination.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

MAX_SHARE: Final = 0.2
"""Of the event loop's time, and of that which the database takes: 20 to 50 microseconds a message, so that it is enough for the whole network's."""
TURN_SECONDS: Final = 0.0001
"""What a turn takes beside the work in it."""
MAX_SAVED_SECONDS: Final = 0.1
"""Time whose share may be used later, so that a timer's delay loses none of it."""
MAX_WAIT_SECONDS: Final = 5.0
"""A database that hangs for a while does not silence the streams for long after."""
MAX_THREADS: Final = 2
"""For the database, so that no delivery waits for what a host sends."""


class Share:
    """Counts the time that streams use, and grants turns while it is within their share."""

    def __init__(self) -> None:
        self._threads: Final = Threads("firehose", MAX_THREADS)
        self._turns: Final = asyncio.Lock()
        self._counting: Final = Lock()
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait behind the streams that came first, until what was used is paid for; then use a few milliseconds."""
        async with self._turns:
            await asyncio.sleep(self._free_at - time.monotonic())  # other work goes on even if that is over
            self._count(TURN_SECONDS)

    @contextmanager
    def used(self) -> Generator[None]:
        """Count the time of the block, which does not give the loop away or is in a thread."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._count(time.monotonic() - begun)

    def _count(self, seconds: float) -> None:
        now = time.monotonic()
        with self._counting:
            free_at = max(self._free_at, now - MAX_SAVED_SECONDS) + seconds / MAX_SHARE
            self._free_at = min(free_at, now + MAX_WAIT_SECONDS)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do database work of a stream, and count it."""

        def counted() -> T:
            with self.used():
                return work(*args, **kwargs)

        return await self._threads.run(counted)
