"""A relay's turn in slow motion, and what an artist says meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from aggregates.track import Track
from outbox.mirror.lanes import Lane, release
from outbox.record.record import record_for
from outbox.relay.delivery_task import next_work
from outbox.relay.result import Outcome, Result
from tests.outbox.rig import URLS, Rig

Send = Callable[[], Awaitable[httpx.Response]]


class Flight:
    """A relay's turn with one record, step by step."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.lane: Lane = rig.claim("in flight")
        self.result: Result | None = None

    async def lands(self) -> Outcome:
        """Read, send and hear the answer; nothing is settled yet."""
        work = next_work(self._rig.log, self.lane, URLS, self._rig.clock(), [])
        assert work is not None
        self.result = await self._rig.delivery.deliver(self.lane, work, 30)
        return self.result.outcome

    def settles(self) -> None:
        """Write down what was found, and give the lane back."""
        assert self.result is not None
        self._rig.settle(self.lane, self.result)
        release(self._rig.database, self.lane)


def wanted(rig: Rig, track: Track) -> dict[str, Any]:
    return record_for(track, rig.mirror(track.track_id).generation, URLS)


def restore(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.restore_record(at=rig.clock()))


def delete(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.delete(at=rig.clock()))


def undelete(rig: Rig) -> Track:
    return rig.tell(1, lambda track: track.undelete(at=rig.clock()))
