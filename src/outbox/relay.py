"""The relay: claim lanes, deliver what is due in each, settle. Any number of processes may run one."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from eventstore.unit_of_work import EventLog
from outbox.blobs import BlobWorker
from outbox.delivery import Delivery, Outcome
from outbox.lanes import Lane, LeaseLostError, claim, release
from outbox.record import RecordUrls
from outbox.settle import settle
from outbox.work import Work, next_work

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
TURN_RECORDS: Final = 20
TURN_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 30.0


@dataclass(frozen=True)
class RelayLimits:
    """How much one process does at once, and for how long a lease holds."""

    lanes: int = 32
    lease: timedelta = timedelta(seconds=60)


class Relay:
    """Runs until it is stopped; `run_once` does what is due now and tells what it did."""

    def __init__(
        self,
        log: EventLog,
        delivery: Delivery,
        blobs: BlobWorker,
        urls: RecordUrls,
        *,
        owner: str,
        limits: RelayLimits,
    ) -> None:
        self._log = log
        self._delivery = delivery
        self._blobs = blobs
        self._urls = urls
        self._owner = owner
        self._limits = limits
        self._turns: set[asyncio.Task[Counter[Outcome]]] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Look for work at once; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then let the flights land and give their lanes back."""
        self._loop = asyncio.get_running_loop()
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._woken.clear()
            try:
                found = await self._start_due()
            except Exception:
                logger.exception("relay_claim_failed")  # a database that is away comes back
                found = False
            if not found:
                await self._pause(stopped)
        stopped.cancel()
        await asyncio.gather(*self._turns, return_exceptions=True)
        await self._blobs.drain()

    async def run_once(self) -> Counter[Outcome]:
        """Deliver everything that is due now, and count how it ended."""
        ended: Counter[Outcome] = Counter()
        while await self._start_due() or self._turns or self._blobs.busy:
            for counts in await asyncio.gather(*self._turns):
                ended += counts
            await self._blobs.drain()
        return ended

    async def _start_due(self) -> bool:
        started = await self._blobs.start_due()
        room = self._limits.lanes - len(self._turns)
        if room <= 0:
            return started
        lanes = await asyncio.to_thread(
            claim, self._log.database, owner=self._owner, limit=room, lease=self._limits.lease
        )
        for lane in lanes:
            turn = asyncio.create_task(self._turn(lane))
            self._turns.add(turn)
            turn.add_done_callback(self._turn_ended)
        return started or bool(lanes)

    def _turn_ended(self, turn: "asyncio.Task[Counter[Outcome]]") -> None:
        self._turns.discard(turn)
        self._woken.set()

    async def _pause(self, stopped: "asyncio.Task[bool]") -> None:
        woken = asyncio.create_task(self._woken.wait())
        await asyncio.wait({woken, stopped}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()

    async def _turn(self, lane: Lane) -> Counter[Outcome]:
        """Deliver the lane's due targets for a while, then let other lanes have a go."""
        ended: Counter[Outcome] = Counter()
        lease = _Lease(self._limits.lease)
        seen: list[int] = []
        try:
            while len(seen) < TURN_RECORDS and lease.age < TURN_SECONDS and lease.seconds_to_send() > 0:
                work = await asyncio.to_thread(self._next, lane, seen)
                if work is None:
                    break
                seen.append(work.track_id)
                result = await self._delivery.deliver(lane, work, lease.seconds_to_send())
                await asyncio.to_thread(settle, self._log, lane, result)
                ended[result.outcome] += 1
                if result.ends_turn:
                    break
            await asyncio.to_thread(release, self._log.database, lane)
        except LeaseLostError:
            logger.warning("lease_lost", extra={"did": lane.did, "epoch": lane.epoch})
        except Exception:
            logger.exception("turn_failed", extra={"did": lane.did, "epoch": lane.epoch})
        return ended

    def _next(self, lane: Lane, seen: list[int]) -> Work | None:
        with self._log.database.read() as connection:
            now = self._log.database.now(connection)
        return next_work(self._log, lane, self._urls, now, seen)


class _Lease:
    """How long this process may still send under a lease that it took just now."""

    def __init__(self, length: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._length = length.total_seconds()
        self._clock = clock
        self._taken = clock()

    @property
    def age(self) -> float:
        """Give the seconds since it was taken."""
        return self._clock() - self._taken

    def seconds_to_send(self) -> float:
        """Give the time for one request: half of what is left, so that a read-back fits too; 0 when too little is."""
        left = self._length - self.age
        return min(REQUEST_SECONDS, left / 2) if left > self._length / 4 else 0.0
