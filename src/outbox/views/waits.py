"""Lets requests wait for a track's mirror without a thread or a connection each: one poll serves all."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from eventstore.database import Database
from outbox.views.status import Mirror, mirrors

POLL_SECONDS: Final = 0.05
logger = logging.getLogger("mastertape.outbox")


@dataclass(eq=False)
class _Waiter:
    track_id: int
    is_met: Callable[[Mirror], bool]
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def check(self, mirror: Mirror) -> None:
        """End the wait when its condition is met, or the mirror waits for a person."""
        if self.done.done():
            return
        if self.is_met(mirror):
            self.done.set_result(True)
        elif mirror.needs_intervention:
            self.done.set_result(False)


class MirrorWaits:
    """Lets any number of requests wait for the record of their track."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiters: set[_Waiter] = set()
        self._poll: asyncio.Task[None] | None = None

    async def wait(self, track_id: int, generation: int, seconds: float) -> bool:
        """Wait until the PDS has confirmed this generation; False at the timeout or if a person has to act."""
        return await self._wait(track_id, lambda mirror: mirror.acked_generation >= generation, seconds)

    async def wait_delivered(self, track_id: int, seconds: float) -> bool:
        """Wait until the record, its blob and its former records are delivered; False as for `wait`."""
        return await self._wait(track_id, lambda mirror: mirror.is_settled, seconds)

    async def finish(self) -> None:
        """Wait for the last poll to end. Call it once no request waits."""
        if self._poll is not None:
            await asyncio.gather(self._poll, return_exceptions=True)

    async def _wait(self, track_id: int, is_met: Callable[[Mirror], bool], seconds: float) -> bool:
        waiter = _Waiter(track_id, is_met)
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
            try:
                states = await asyncio.to_thread(self._read, list(by_track))
            except Exception:
                logger.exception("mirror_wait_read_failed")  # the database may be back before the time is up
                states = {}
            for track_id, mirror in states.items():
                for waiter in by_track[track_id]:
                    waiter.check(mirror)
            await asyncio.sleep(POLL_SECONDS)

    def _read(self, track_ids: list[int]) -> dict[int, Mirror]:
        with self._database.read() as connection:
            return mirrors(connection, track_ids)
