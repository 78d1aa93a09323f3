"""When a process looks for due work in each part of the accounts: at once where a commit has made some due, else at intervals."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Final

from eventstore.jobs.table import job
from eventstore.sql.cluster import is_distributed, shards_of
from eventstore.sql.database import Database
from eventstore.streams.buckets import EVERY, PARTS, Part, divided

IDLE_SECONDS: Final = 14.0
"""The longest time between two looks into a part, so that work starts within 15 s whose commit signal was lost."""


class DueParts:
    """Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self._next: dict[Part, float] = {}
        self._began_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.woken: Final = asyncio.Event()
        """Some parts were made due since the last look."""
        self._is_round_due = True
        self.begins_round = False
        """Whether to ask now, too, what is asked once for all parts: at the start, and after a wake."""

    def wake(self, *buckets: int) -> None:
        """Make the parts of these buckets due at once, or all; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(partial(self.make_due, *buckets, in_round=True))

    def make_due(self, *buckets: int, seconds: float = 0.0, in_round: bool = False) -> None:
        """Look into the parts of these buckets after so long, or before; into all if none is named, which begins a round."""
        at = _now() + seconds
        for part, before in self._next.items():
            if not buckets or any(each in part for each in buckets):
                self._next[part] = min(before, at)
        if seconds <= 0:
            self._is_round_due |= in_round or not buckets
            self.woken.set()

    async def take(self, in_thread: Callable[..., Awaitable[Any]]) -> list[Part]:
        """Return the parts to look into now. What is made due from here on is looked into once more."""
        self._loop = asyncio.get_running_loop()
        self.begins_round, self._is_round_due = self._is_round_due, False
        self.woken.clear()
        if not self._next:  # no process runs while the tables are divided
            self._next = dict.fromkeys(await in_thread(parts_of, self._database), -inf)
            self._began_at = _now()
        now = _now()
        due = [(number, part) for number, (part, at) in enumerate(self._next.items()) if at <= now]
        # parts have their times within the interval, and each process its own: looks are spread over it
        for number, part in due:
            turn = self._began_at + number / len(self._next) * IDLE_SECONDS
            self._next[part] = now + IDLE_SECONDS - (now - turn) % IDLE_SECONDS
        return [part for _, part in due]

    def seconds(self) -> float:
        """Return how long to wait until a part is due."""
        now = _now()
        return max(0.0, min(self._next.values(), default=now + IDLE_SECONDS) - now)


def parts_of(database: Database) -> Sequence[Part]:
    if database.is_sqlite:
        return [EVERY]
    with database.read_committed() as connection:
        if is_distributed(connection, job.name):
            return shards_of(connection, job.name)
        return divided(connection.scalar(PARTS, {"table": job.name}) or 1)


def _now() -> float:
    return asyncio.get_running_loop().time()
