"""The relay: polls for due work, and claims it. Any number of processes may run one.

Lanes that are due in the parts to look into are leased to this relay, within each host's limit (claim.py). Each has a run
(lane_run.py), for as long as the lease and the run's share of time allow.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from eventstore.change import Change
from eventstore.coordination.backoff import backoff
from eventstore.coordination.commit_signals import Wake
from eventstore.coordination.due_parts import DueParts
from eventstore.coordination.process_names import has_ended
from eventstore.coordination.restore_detection import Workers
from eventstore.event_log import EventLog
from eventstore.sql.prepared import Result as Started
from eventstore.streams.buckets import Part, bucket_of
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.lanes import Lane, write_release
from outbox.mirror.targets import MIN_LANE_INTERVAL
from outbox.ports import Tracing
from outbox.record.kind import RecordKinds
from outbox.relay.claim import accounts_with_work, claim, seconds_until_due, start_claim
from outbox.relay.delivery import Delivery
from outbox.relay.early_release import HasEnded, release_of_ended
from outbox.relay.lane_run import LaneRun, OnSettled
from outbox.relay.lease_clock import LeaseClock
from outbox.relay.read_backs import ReadBacks
from outbox.relay.result import Outcome
from outbox.relay.slow_hosts import SlowHosts
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

BUSY_POLL_SECONDS: Final = 1.0
"""The longest time between two looks into a part with due work that could not be claimed."""
MIN_POLL_SECONDS: Final = 0.03
"""The shortest time between two polls, so that a burst of commits is found by few; where nothing runs, a third of it."""
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

    @property
    def of_slow_hosts(self) -> int:
        """How many lanes may run for hosts that take long to answer."""
        return max(1, self.lanes // 4)


@dataclass(eq=False)
class Relay:
    """Runs until it is stopped; `run_once` does what is due now and returns how it ended."""

    log: EventLog
    delivery: Delivery
    kinds: RecordKinds
    _: KW_ONLY
    owner: str
    limits: RelayLimits
    has_ended: HasEnded = has_ended
    tracing: Tracing = field(default_factory=Tracing)
    on_settled: OnSettled = lambda _did, _acknowledged: None
    read_backs: ReadBacks | None = None
    on_ended: Wake = lambda *_: None
    """Called after each run with the bucket of its lane, which may have more due."""
    _slow_hosts: SlowHosts = field(init=False, default_factory=SlowHosts)
    _runs: dict[asyncio.Task[Counter[Outcome]], Lane] = field(init=False, default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None)
    _polled_at: float = field(init=False, default=-inf)
    _stop: asyncio.Event | None = field(init=False, default=None)
    _log_outdated_at: float = field(init=False, default=0.0)
    _early_release_at: float = field(init=False, default=-inf)
    _parts: DueParts = field(init=False)
    _workers: Workers = field(init=False)
    _held: set[Part] = field(init=False, default_factory=set)
    """Parts with due work that another relay has, or whose hosts are at their limits."""

    def __post_init__(self) -> None:
        self._parts = DueParts(self.log.database, accounts_with_work)
        self._workers = Workers(self.log.database)

    def wake(self, *buckets: int) -> None:
        """Look into the parts of these buckets, or all, as soon after the last poll as polls may follow; may be called from any thread."""
        self._parts.wake(*buckets)

    async def run(self, stop: asyncio.Event, *, polls: bool = True) -> None:
        """Deliver until `stop` is set, then finish what is in flight and release the lanes.

        Without polls, run what units of this process claim alone.
        """
        self._loop, self._stop = asyncio.get_running_loop(), stop
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._parts.woken.set())
        failures = 0
        if not polls:
            # with its database away it claims nothing, and the relay that polls delivers all
            with suppress(SQLAlchemyError):
                await in_thread(self._workers.compare)
            await stop.wait()
        while not stop.is_set():
            self._polled_at = self._loop.time()
            try:
                pause = max(await self._start_due(), MIN_POLL_SECONDS)
                failures = 0
            except Exception:
                logger.exception("relay_claim_failed")  # the database may be back at the next poll
                pause = min(MAX_ERROR_PAUSE_SECONDS, backoff(failures).total_seconds())
                self._parts.make_due(seconds=pause)
                failures += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._parts.woken.wait(), pause)
            shortest = MIN_POLL_SECONDS if self._runs else MIN_POLL_SECONDS / 3
            await asyncio.sleep(self._polled_at + shortest - self._loop.time())
        stopped.cancel()
        if self.read_backs is not None:
            self.read_backs.stop()
        await asyncio.gather(*self._runs, return_exceptions=True)
        self._stop = None

    async def run_once(self) -> Counter[Outcome]:
        """Deliver everything that is due now; counts the outcomes."""
        outcomes: Counter[Outcome] = Counter()
        self._parts.make_due()
        while await self._start_due() <= 0 or self._runs:
            for counts in await asyncio.gather(*self._runs):
                outcomes += counts
            self._parts.make_due()
        return outcomes

    async def _start_due(self) -> float:
        """Start what is due in the parts to look into; returns the seconds until the next poll, 0 if anything was started."""
        if not (parts := await self._parts.take(in_thread)):
            return self._parts.seconds()
        # begun before the claim, so that this process's clock never overestimates the lease
        lease = LeaseClock(self.limits.lease)
        running = dict(self._runs)
        found, lanes = await in_thread(self._poll, parts, list(running.values()))
        for lane in lanes:
            self._start(self._run_of(lane, lease))
        may_claim_more = bool(lanes) or not self._runs.keys() >= running.keys()
        held = {part for part, seconds in found.items() if seconds <= 0 and not may_claim_more}
        self._held = self._held - found.keys() | held
        for part, seconds in found.items():
            self._parts.make_due(part[0], seconds=BUSY_POLL_SECONDS if part in held else seconds)
        return self._parts.seconds()

    def _run_of(self, lane: Lane, lease: LeaseClock) -> LaneRun:
        return LaneRun(
            self.log,
            self.delivery,
            self.kinds,
            lane,
            lease,
            tracing=self.tracing,
            slow_hosts=self._slow_hosts,
            read_backs=self.read_backs,
            is_stopping=lambda: self._stop is not None and self._stop.is_set(),
            on_settled=self.on_settled,
        )

    def _start(self, run: LaneRun) -> None:
        task = asyncio.create_task(run.run())
        self._runs[task] = run.lane
        task.add_done_callback(self._ended)

    def _ended(self, run: asyncio.Task[Counter[Outcome]]) -> None:
        """Look for what the lane has next, and for what waited for its host, or for room here."""
        bucket, loop = bucket_of(self._runs.pop(run).did), asyncio.get_running_loop()
        self.on_ended(bucket)
        at = self._polled_at + MIN_POLL_SECONDS
        loop.call_at(at, self._parts.make_due, bucket, *(part[0] for part in self._held))

    def claim_with(self, unit: UnitOfWork) -> None:
        """Claim the account's lane with what the unit saves, and begin its first delivery, where it can run here at once: its caller waits."""
        did, loop = unit.did, self._loop
        if did is None or loop is None or self._stop is None or self._stop.is_set():
            return
        # each worker of a cluster has some of the host's leases
        if self._workers.are_any or len(self._runs) >= self.limits.lanes:
            return
        clock = LeaseClock(self.limits.lease)
        started: list[tuple[Started, datetime]] = []

        def start(connection: sa.Connection, _changes: Sequence[Change]) -> None:
            until = unit.now + self.limits.lease
            lease = {
                "lease_owner": self.owner,
                "lease_until": until,
                "debounced_until": unit.now + MIN_LANE_INTERVAL,
            }
            started.append((start_claim(connection, did, lease, unit.now), until))

        def begin(connection: sa.Connection) -> None:
            for claimed, until in started:
                for row in claimed.all():
                    run = self._run_of(Lane(did, row.host, self.owner, row.lease_epoch, until), clock)
                    if row.host in self._slow_hosts:  # polls count how many of their lanes run
                        write_release(connection, run.lane, unit.now)
                        continue
                    run.begun = run.begin(connection, unit.now)
                    unit.after_commit(partial(loop.call_soon_threadsafe, self._start, run))

        unit.with_save(start)
        unit.before_commit(begin)

    def _poll(self, parts: Sequence[Part], running: Sequence[Lane]) -> tuple[dict[Part, float], list[Lane]]:
        """Ask in how many seconds each part has something due, and claim lanes.

        It claims none while the read models are another release's, in which nothing could be settled, or the log has what only
        a newer one knows.
        """
        if (free := self.limits.lanes - len(running)) <= 0:
            return dict.fromkeys(parts, 0.0), []
        found, leased = seconds_until_due(self.log.database, parts)
        if leased and time.monotonic() >= self._early_release_at:
            self._early_release_at = time.monotonic() + EARLY_RELEASE_SECONDS
            found |= dict.fromkeys(release_of_ended(self.log.database, leased, self.has_ended), 0.0)
        due = [part for part, seconds in found.items() if seconds <= 0]
        if due or self._parts.begins_round:
            self._workers.compare()
        if not due:
            return found, []
        if (reason := self._outdated_because()) is not None:
            if time.monotonic() >= self._log_outdated_at:
                self._log_outdated_at = time.monotonic() + OUTDATED_LOG_SECONDS
                logger.error("relay_outdated", extra={"owner": self.owner, "reason": reason})
            return found | dict.fromkeys(due, BUSY_POLL_SECONDS), []
        return found, claim(
            self.log.database,
            due,
            owner=self.owner,
            limit=free,
            lease=self.limits.lease,
            backfill=self.limits.backfill - sum(lane.backfill for lane in running),
            of_failing_hosts=self.limits.of_failing_hosts - sum(lane.host_failed_last for lane in running),
            slow_hosts=self._slow_hosts,
            of_slow_hosts=self.limits.of_slow_hosts - sum(lane.host in self._slow_hosts for lane in running),
            interval=MIN_LANE_INTERVAL if self._stop is not None else timedelta(),
        )

    def _outdated_because(self) -> str | None:
        if self.log.newer_release is not None:
            return str(self.log.newer_release)
        for projection in self.log.outdated():
            name = projection.name
            return (
                f"the rows of projection {name!r} are another release's: nothing is sent from here; "
                f"end this process, or `mastertape rebuild {name}` with its release"
            )
        return None
