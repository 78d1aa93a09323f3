"""The relay: polls for due work, and starts lane runs. Any number of processes may run one.

A lane run from its claim to its release:

1. claim: due lanes are leased to this relay, within each host's limit (claim.py).
2. run: the lane's due targets are delivered and settled one after the other (lane_run.py, which numbers its phases).
3. release: at the end of the run the lane becomes due when its next target is.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Final

from eventstore.coordination.backoff import backoff
from eventstore.coordination.process_names import has_ended
from eventstore.event_log import EventLog
from outbox.mirror.lanes import Lane
from outbox.mirror.targets import MIN_LANE_INTERVAL
from outbox.ports import Tracing
from outbox.record.kind import RecordKinds
from outbox.relay.claim import HasEnded, claim, release_of_ended, seconds_until_due
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import LeaseClock
from outbox.relay.lane_run import LaneRunner
from outbox.relay.result import Outcome
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

BUSY_POLL_SECONDS: Final = 1.0
"""The longest time between two polls while work is in flight here or due elsewhere."""
IDLE_POLL_SECONDS: Final = 15.0
"""The longest time between two polls: a commit signal, or a due time that another process set, may be missed."""
MIN_POLL_SECONDS: Final = 0.01
"""The shortest time between two polls, so that a burst of commits is found by few."""
EARLY_RELEASE_SECONDS: Final = 2.0
"""The shortest time between two searches for leases of processes that have ended."""
MAX_ERROR_PAUSE_SECONDS: Final = 5.0
OUTDATED_LOG_SECONDS: Final = 60.0
"""The time between two log lines that this process is outdated."""


@dataclass(frozen=True)
class RelayLimits:
    """The lanes that one process runs at once, and how long it leases them."""

    lanes: int = 32
    lease: timedelta = timedelta(seconds=60)

    @property
    def backfill(self) -> int:
        """How many lanes may run for backfill; the rest are kept free for live work."""
        return max(1, self.lanes * 3 // 4)

    @property
    def of_failing_hosts(self) -> int:
        """How many lanes may run for hosts that failed the last time, and may hang now."""
        return max(1, self.lanes // 2)


class Relay:
    """Runs until it is stopped; `run_once` does what is due now and returns how it ended."""

    def __init__(
        self,
        log: EventLog,
        delivery: Delivery,
        kinds: RecordKinds,
        *,
        owner: str,
        limits: RelayLimits,
        has_ended: HasEnded = has_ended,
        tracing: Tracing | None = None,
    ) -> None:
        self._log = log
        self._has_ended = has_ended
        self._owner = owner
        self._limits = limits
        self._runner = LaneRunner(
            log,
            delivery,
            kinds,
            tracing or Tracing(),
            is_stopping=lambda: self._stop is not None and self._stop.is_set(),
            on_settled=lambda did: self.on_settled(did),  # noqa: PLW0108 - it is set later
        )
        self.on_settled: Callable[[str], object] = lambda _did: None
        """Called with the account after each settled delivery."""
        self._runs: dict[asyncio.Task[Counter[Outcome]], Lane] = {}
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._log_outdated_at = 0.0
        self._early_release_at = -inf

    def wake(self) -> None:
        """Poll at once, or as soon after the last poll as polls may follow; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then finish what is in flight and release the lanes."""
        self._loop, self._stop = asyncio.get_running_loop(), stop
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._woken.set())
        failures = 0
        while not stop.is_set():
            self._woken.clear()
            polled_at = self._loop.time()
            try:
                pause = max(await self._start_due(), MIN_POLL_SECONDS)
                failures = 0
            except Exception:
                logger.exception("relay_claim_failed")  # the database may be back at the next poll
                pause = min(MAX_ERROR_PAUSE_SECONDS, backoff(failures).total_seconds())
                failures += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
            await asyncio.sleep(polled_at + MIN_POLL_SECONDS - self._loop.time())
        stopped.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        self._stop = None

    async def run_once(self) -> Counter[Outcome]:
        """Deliver everything that is due now; counts the outcomes."""
        outcomes: Counter[Outcome] = Counter()
        while await self._start_due() <= 0 or self._runs:
            for counts in await asyncio.gather(*self._runs):
                outcomes += counts
        return outcomes

    async def _start_due(self) -> float:
        """Start what is due; returns the seconds until the next poll, 0 if anything was started."""
        # begun before the claim, so that this process's clock never overestimates the lease
        lease = LeaseClock(self._limits.lease)
        now = asyncio.get_running_loop().time()
        if releases := now >= self._early_release_at:
            self._early_release_at = now + EARLY_RELEASE_SECONDS
        seconds, lanes = await in_thread(self._poll, list(self._runs.values()), releases=releases)
        for lane in lanes:
            run = asyncio.create_task(self._runner.run(lane, lease))
            self._runs[run] = lane
            run.add_done_callback(self._runs.pop)
            run.add_done_callback(lambda _: self._woken.set())
        if lanes:
            return 0.0
        if seconds <= 0:  # another relay holds what is due, or its host is at its limit
            return BUSY_POLL_SECONDS
        return min(seconds, BUSY_POLL_SECONDS if self._runs else IDLE_POLL_SECONDS)

    def _poll(self, running: Sequence[Lane], *, releases: bool) -> tuple[float, list[Lane]]:
        """Ask what is due, and claim lanes; none while the read models are another release's, in which nothing could be settled."""
        if projections := self._log.outdated():
            projection = projections[0].name
            if time.monotonic() >= self._log_outdated_at:
                self._log_outdated_at = time.monotonic() + OUTDATED_LOG_SECONDS
                reason = (
                    f"the rows of projection {projection!r} are another release's: nothing is sent from here; "
                    f"end this process, or `mastertape rebuild {projection}` with its release"
                )
                logger.error("relay_outdated", extra={"owner": self._owner, "reason": reason})
            return BUSY_POLL_SECONDS, []
        if releases:
            release_of_ended(self._log.database, self._has_ended)
        seconds = seconds_until_due(self._log.database)
        free = self._limits.lanes - len(running)
        if seconds > 0 or free <= 0:
            return seconds, []
        return seconds, claim(
            self._log.database,
            owner=self._owner,
            limit=free,
            lease=self._limits.lease,
            backfill=self._limits.backfill - sum(lane.backfill for lane in running),
            of_failing_hosts=self._limits.of_failing_hosts - sum(lane.host_failed_last for lane in running),
            interval=MIN_LANE_INTERVAL if self._stop is not None else timedelta(),
        )
