"""A relay, and the worker that runs beside it in its process, here for uploads, probes and what else a rig has."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Kind
from eventstore.jobs.worker import Worker
from outbox.blobs.worker import Uploads
from outbox.mirror.requeue import tend_lanes, wake_stuck_lanes
from outbox.probes.jobs import Probes
from outbox.relay.delivery import Delivery
from outbox.relay.relay import Relay, RelayLimits
from outbox.relay.result import Outcome
from outbox.threads import in_thread


class WorkingRelay(Relay):
    def __init__(
        self,
        log: EventLog,
        delivery: Delivery,
        uploads: Uploads,
        probes: Probes,
        *args: Any,
        limits: RelayLimits,
        also: Sequence[Kind] = (),
        **given: Any,
    ) -> None:
        super().__init__(log, delivery, *args, limits=limits, **given)
        who = {name: given[name] for name in ("owner", "has_ended") if name in given}
        self.jobs = Worker(
            log.database,
            [uploads.kind(), probes.kind(), *also],
            lease=limits.lease,
            may_work=lambda: not log.outdated(),
            **who,
        )

    def wake(self, *buckets: int) -> None:
        super().wake(*buckets)
        self.jobs.wake(*buckets)

    async def run(self, stop: asyncio.Event, *, polls: bool = True) -> None:
        beside = {asyncio.create_task(each) for each in (self.jobs.run(), self._tend())}
        try:
            await super().run(stop, polls=polls)
        finally:
            for each in beside:
                each.cancel()
            await asyncio.wait(beside)

    async def _tend(self) -> None:
        """Do each minute what periodic jobs do."""
        while True:
            tended = await in_thread(tend_lanes, self.log.database)
            if tended + await in_thread(wake_stuck_lanes, self.log.database):
                self.wake()
            await asyncio.sleep(60)

    async def run_once(self) -> Counter[Outcome]:
        outcomes = await super().run_once()
        self.jobs.parts.make_due()
        while await self.jobs.start_due():
            await self.jobs.drain()
            outcomes += await super().run_once()
            self.jobs.parts.make_due()
        return outcomes
