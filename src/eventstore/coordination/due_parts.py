"""When a process looks for due work in each part of the accounts: at once where a commit has made some due, else at intervals."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any, Final

import sqlalchemy as sa

from eventstore.jobs.table import job
from eventstore.sql.cluster import is_distributed, shards_of, texts_of
from eventstore.sql.database import Database
from eventstore.streams.buckets import EVERY, PARTS, Part, bucket_of, divided

IDLE_SECONDS: Final = 14.0
"""The longest time between two looks into a part, so that work starts within 15 s whose commit signal was lost."""


class DueParts:
    """Belongs to one event loop."""

    def __init__(self, database: Database, find: Callable[[], sa.Select[str]]) -> None:
        """`find` selects accounts of which something may be due by `:now`, or `:soon`: of several machines each is asked for those of all its parts."""
        self._database: Final = database
        self._find: Final = find
        self._next: dict[Part, float] = {}
        self._began_at = 0.0
        self._asks_nodes_at = inf
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
            if any(isinstance(each, tuple) for each in self._next):
                self._asks_nodes_at = self._began_at + IDLE_SECONDS / 2
        if _now() >= self._asks_nodes_at:
            self._asks_nodes_at = _now() + IDLE_SECONDS / 2
            with_work = await in_thread(self._parts_with_work)
            for number, part in enumerate(with_work):  # before the nodes are asked again
                at = _now() + number / len(with_work) * IDLE_SECONDS / 2
                self._next[part] = min(self._next[part], at)
        now = _now()
        due = [(number, part) for number, (part, at) in enumerate(self._next.items()) if at <= now]
        # parts have their times within the interval, and each process its own: looks are spread over it
        for number, part in due:
            turn = self._began_at + number / len(self._next) * IDLE_SECONDS
            next_turn = now + IDLE_SECONDS - (now - turn) % IDLE_SECONDS
            self._next[part] = next_turn if self._asks_nodes_at == inf else inf
        return [part for _, part in due]

    def _parts_with_work(self) -> list[Part]:
        with self._database.read_committed() as connection:
            now = self._database.recent_now(connection)
            query = self._find().params(now=now, soon=now + timedelta(seconds=IDLE_SECONDS))
            buckets = set(map(bucket_of, texts_of(connection, query, job.name)))
        return [part for part in self._next if not buckets.isdisjoint(part)]

    def seconds(self) -> float:
        """Return how long to wait until a part is due."""
        now = _now()
        return max(0.0, min(self._asks_nodes_at, *self._next.values()) - now) if self._next else IDLE_SECONDS


def parts_of(database: Database) -> Sequence[Part]:
    if database.is_sqlite:
        return [EVERY]
    with database.read_committed() as connection:
        if is_distributed(connection, job.name):
            return shards_of(connection, job.name)
        return divided(connection.scalar(PARTS, {"table": job.name}) or 1)


def _now() -> float:
    return asyncio.get_running_loop().time()
