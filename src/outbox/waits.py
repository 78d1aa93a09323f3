"""Waiting for the mirror without a thread or a connection: one poll for all who wait."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from eventstore.database import Database
from outbox.status import Mirror, mirrors

POLL_SECONDS: Final = 0.05


@dataclass(eq=False)
class _Waiter:
    track_id: int
    generation: int
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class MirrorWaits:
    """Lets any number of requests wait for their generation to be acknowledged."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: set[_Waiter] = set()
        self._poll: asyncio.Task[None] | None = None

    async def wait(self, track_id: int, generation: int, seconds: float) -> bool:
        """Wait until the PDS has this generation or a newer one; False when time is up or it waits for somebody."""
        waiter = _Waiter(track_id, generation)
        self._waiters.add(waiter)
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._poll_for_all())
        try:
            return await asyncio.wait_for(waiter.done, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)

    async def _poll_for_all(self) -> None:
        while self._waiters:
            by_track: dict[int, list[_Waiter]] = defaultdict(list)
            for waiter in self._waiters:
                by_track[waiter.track_id].append(waiter)
            states = await asyncio.to_thread(self._read, list(by_track))
            for track_id, waiters in by_track.items():
                _answer(states.get(track_id), waiters)
            await asyncio.sleep(POLL_SECONDS)

    def _read(self, track_ids: list[int]) -> dict[int, Mirror]:
        with self._database.read() as connection:
            return mirrors(connection, track_ids)


def _answer(mirror: Mirror | None, waiters: list[_Waiter]) -> None:
    for waiter in waiters:
        if waiter.done.done() or mirror is None:
            continue
        if mirror.acked_generation >= waiter.generation:
            waiter.done.set_result(True)
        elif mirror.waits_for_somebody:
            waiter.done.set_result(False)
