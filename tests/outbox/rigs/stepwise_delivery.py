"""A delivery step by step, and commands of the owner in between."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from aggregates.published import Published
from aggregates.tracks.track import Track
from outbox.mirror.lanes import Lane, release
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome, Result
from tests.outbox.rigs.relay_rig import KINDS, Rig

Send = Callable[[], Awaitable[httpx.Response]]


class StepwiseDelivery:
    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.lane: Lane = rig.claim("in flight")
        self.result: Result | None = None

    async def send(self) -> Outcome:
        """Read, record the intent and send; nothing is settled yet."""
        task = next_task(self._rig.log, self.lane, KINDS, self._rig.clock(), [])
        assert task is not None
        self.result = await self._rig.delivery.deliver(self.lane, task, 30)
        return self.result.outcome

    def settle(self) -> None:
        assert self.result is not None
        self._rig.settle(self.lane, self.result)
        release(self._rig.database, self.lane)


def wanted(rig: Rig, subject: Published) -> dict[str, Any]:
    return rig.kinds[subject.TOPIC].record_of(subject, rig.mirror(subject.subject_id).generation)


def restore(rig: Rig) -> Track:
    return rig.command(1, lambda track: track.restore_record(at=rig.clock()))


def delete(rig: Rig) -> Track:
    return rig.command(1, lambda track: track.delete(at=rig.clock()))


def undelete(rig: Rig) -> Track:
    return rig.command(1, lambda track: track.undelete(at=rig.clock()))
