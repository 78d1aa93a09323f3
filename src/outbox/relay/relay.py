"""The relay: claim lanes, deliver what is due in each, settle. Any number of processes may run one."""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from outbox.backoff import backoff
from outbox.blobs.worker import BlobWorker
from outbox.metrics import NO_METRICS, RelayMetrics
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import Lane, LeaseLostError, release, release_after_error
from outbox.pds.verdict import verdict_of_fault
from outbox.probes.worker import Probes
from outbox.record.record import RecordUrls
from outbox.relay.claim import claim
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import UnreadableTargetError, Work, next_work
from outbox.relay.lease_clock import SendingTime
from outbox.relay.maintenance import SafetyNet
from outbox.relay.result import Outcome, Result
from outbox.relay.schedule import SecondsUntilDue, seconds_until_due
from outbox.relay.settle import settle
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

BUSY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 15.0
"""At the longest between two looks for work: commits wake it, what is due later has its time, and both may be missed."""
GATHER_SECONDS: Final = 0.1
"""At the least between two looks for work: edits that follow each other closely arrive as one write."""
LONGEST_PAUSE: Final = 5.0
TELL_SECONDS: Final = 60.0
"""Between two times of saying that this process is outdated."""
TURN_RECORDS: Final = 20
BACKFILL_RECORDS: Final = 5
"""Fewer in a turn, so that a host's only lane is soon free for live work."""
TURN_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
QUIET_OUTCOMES: Final = frozenset({Outcome.DELIVERED, Outcome.CANCELLED, Outcome.SEEN, Outcome.SETTLING})
"""Nobody has to hear of these."""


@dataclass(frozen=True)
class RelayLimits:
    """How much one process does at once, and for how long a lease holds."""

    lanes: int = 32
    lease: timedelta = timedelta(seconds=60)

    @property
    def backfill(self) -> int:
        """How many lanes may be under way for what can wait; the rest are kept free for what cannot."""
        return max(1, self.lanes * 3 // 4)


class Relay:
    """Runs until it is stopped; `run_once` does what is due now and tells what it did."""

    def __init__(
        self,
        log: EventLog,
        delivery: Delivery,
        blobs: BlobWorker,
        probes: Probes,
        urls: RecordUrls,
        *,
        hosts: Hosts,
        owner: str,
        limits: RelayLimits,
        metrics: RelayMetrics = NO_METRICS,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._hosts = hosts
        self._delivery = delivery
        self._blobs = blobs
        self._probes = probes
        self._urls = urls
        self._owner = owner
        self._limits = limits
        self._turns: dict[asyncio.Task[Counter[Outcome]], Lane] = {}
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._net = SafetyNet(log.database, self._woken.set)
        self._tell_outdated_at = 0.0

    def wake(self) -> None:
        """Look for work at once; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then let the flights land and give their lanes back."""
        self._loop, self._stop = asyncio.get_running_loop(), stop
        stopped = asyncio.create_task(stop.wait())
        failures = 0
        while not stop.is_set():
            self._woken.clear()
            looked_at = self._loop.time()
            try:
                self._net.look_if_due()
                pause = await self._start_due()
                failures = 0
            except Exception:
                logger.exception("relay_claim_failed")  # a database that is away comes back
                pause = min(LONGEST_PAUSE, backoff(failures).total_seconds())
                failures += 1
            if pause > 0:
                await self._pause(stopped, pause)
            await asyncio.wait({stopped}, timeout=max(0.0, looked_at + GATHER_SECONDS - self._loop.time()))
        stopped.cancel()
        others = (self._blobs.stop(STOP_SECONDS), self._probes.stop(STOP_SECONDS), self._net.stop())
        await asyncio.gather(*others, *self._turns, return_exceptions=True)
        self._stop = None

    async def run_once(self) -> Counter[Outcome]:
        """Deliver everything that is due now, and count how it ended."""
        ended: Counter[Outcome] = Counter()
        while await self._start_due() <= 0 or self._turns or self._blobs.busy or self._probes.busy:
            for counts in await asyncio.gather(*self._turns):
                ended += counts
            await self._blobs.drain()
            await self._probes.drain()
        return ended

    async def _start_due(self) -> float:
        """Start what is due, and give the seconds until the next look: 0 as long as there was something to start."""
        due = await in_thread(self._next_due)
        if due is None:
            return BUSY_SECONDS
        if await self._start(due):
            return 0.0
        busy = due.is_any_now or self._turns or self._blobs.busy or self._probes.busy
        return min(due.later, BUSY_SECONDS if busy else IDLE_SECONDS)

    def _next_due(self) -> SecondsUntilDue | None:
        """Ask what is due: nothing where another release has taken over, as what this one finds out it could not settle."""
        if (projection := self._log.outdated()) is not None:
            self._tell_outdated(projection)
            return None
        return seconds_until_due(self._log.database)

    async def _start(self, due: SecondsUntilDue) -> bool:
        started = (
            due.uploads <= 0 and await self._blobs.start_due(),
            due.probes <= 0 and await self._probes.start_due(),
            due.lanes <= 0 and await self._start_turns(),
        )
        return any(started)

    async def _start_turns(self) -> bool:
        room = self._limits.lanes - len(self._turns)
        if room <= 0:
            return False
        # begins before the database's: what this one counts is never too much
        lease = SendingTime(self._limits.lease)
        lanes = await in_thread(self._claim, room, sum(lane.backfill for lane in self._turns.values()))
        for lane in lanes:
            turn = asyncio.create_task(self._turn(lane, lease))
            self._turns[turn] = lane
            turn.add_done_callback(self._turn_ended)
        return bool(lanes)

    def _claim(self, room: int, backfill: int) -> list[Lane]:
        return claim(
            self._log.database,
            owner=self._owner,
            limit=room,
            lease=self._limits.lease,
            backfill=self._limits.backfill - backfill,
        )

    def _tell_outdated(self, projection: str) -> None:
        if time.monotonic() < self._tell_outdated_at:
            return
        self._tell_outdated_at = time.monotonic() + TELL_SECONDS
        reason = (
            f"the rows of projection {projection!r} are another release's: nothing is sent from here; "
            f"end this process, or `mastertape rebuild {projection}` with its release"
        )
        logger.error("relay_outdated", extra={"owner": self._owner, "reason": reason})

    def _turn_ended(self, turn: "asyncio.Task[Counter[Outcome]]") -> None:
        del self._turns[turn]
        self._woken.set()

    async def _pause(self, stopped: "asyncio.Task[bool]", seconds: float) -> None:
        woken = asyncio.create_task(self._woken.wait())
        await asyncio.wait({woken, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()

    async def _turn(self, lane: Lane, lease: SendingTime) -> Counter[Outcome]:
        """Deliver the lane's due targets for a while, then let other lanes have a go."""
        ended: Counter[Outcome] = Counter()
        seen: list[int] = []
        try:
            records = BACKFILL_RECORDS if lane.backfill else TURN_RECORDS
            while self._has_time(lease) and len(seen) < records:
                result = await self._deliver_next(lane, lease, seen)
                if result is None:
                    break
                seen.append(result.work.track_id)
                await self._settle(lane, result)
                ended[result.outcome] += 1
                if result.ends_turn:
                    break
            await in_thread(release, self._log.database, lane)
        except LeaseLostError as lost:
            logger.warning("lease_lost", extra=lane.log_fields)
            self._metrics.lease_lost(fenced=isinstance(lost, _FencedError))
        except Exception:
            logger.exception("turn_failed", extra=lane.log_fields)
            await self._give_up(lane)
        return ended

    async def _settle(self, lane: Lane, result: Result) -> None:
        try:
            await in_thread(self._write_down, lane, result)
        except LeaseLostError:
            raise _FencedError from None
        self._metrics.settled(result)
        if result.is_mismatch:
            logger.error("cid_mismatch", extra={**lane.log_fields, **_mismatched(result)})
        level = logging.DEBUG if result.outcome in QUIET_OUTCOMES else logging.WARNING
        logger.log(level, "settled", extra={**lane.log_fields, **_result_fields(result)})

    def _write_down(self, lane: Lane, result: Result) -> None:
        """Settle, then note what was heard of the host: in one thread, so that no end of the turn comes between."""
        try:
            report = settle(self._log, lane, result)
        except Exception:  # what the host asks for holds whatever becomes of the lane
            self._hosts.record_if_changed(HostReport.of_limits(lane.host, lane.did, result.verdict))
            raise
        if report is not None:
            self._hosts.record(report)

    def _has_time(self, lease: SendingTime) -> bool:
        stopping = self._stop is not None and self._stop.is_set()
        return not stopping and lease.age < TURN_SECONDS and lease.seconds_to_send() > 0

    async def _deliver_next(self, lane: Lane, lease: SendingTime, seen: list[int]) -> Result | None:
        """Deliver one target; what goes wrong with it alone is its own failure and not the lane's."""
        try:
            work = await in_thread(self._next, lane, seen)
        except UnreadableTargetError as error:
            logger.exception("target_unreadable", extra=lane.log_fields)
            return Result(error.work, Outcome.FAILED, verdict_of_fault(error))
        if work is None:
            return None
        try:
            return await self._delivery.deliver(lane, work, lease.seconds_to_send())
        except (LeaseLostError, SQLAlchemyError, EventStoreError):
            raise
        except Exception as error:
            logger.exception("delivery_failed", extra=lane.log_fields)
            return Result(work, Outcome.FAILED, verdict_of_fault(error))

    async def _give_up(self, lane: Lane) -> None:
        try:
            await in_thread(release_after_error, self._log.database, lane)
        except LeaseLostError:
            pass
        except Exception:  # its lease ends by itself
            logger.exception("lane_not_given_back", extra=lane.log_fields)

    def _next(self, lane: Lane, seen: list[int]) -> Work | None:
        with self._log.database.read() as connection:
            now = self._log.database.now(connection)
            return next_work(self._log, lane, self._urls, now, seen)


def _mismatched(result: Result) -> dict[str, object]:
    work = result.work
    return {"uri": work.key.uri, "expected": work.request_cid, "returned": result.confirmed_cid}


def _result_fields(result: Result) -> dict[str, object]:
    work, verdict = result.work, result.verdict
    facts = {"uri": work.key.uri, "generation": work.gen, "outcome": result.outcome.value}
    return {**facts, "kind": verdict.kind.value, "error": verdict.error, "status": verdict.status}


class _FencedError(LeaseLostError):
    """What was found out came too late to be written down."""
