"""Compares the delivery time at a healthy host with and without a hanging host beside it."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import httpx
from sqlalchemy import update

from bench.logs import did_of, logs, register, retitle
from bench.relays import put_record_response, relay_to
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from outbox.mirror.lanes import resume_lane
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import PAST, mirror_lane, mirror_target, pds_host
from outbox.relay.relay import Relay, RelayLimits

SENTENCE: Final = (
    "How long an edit takes from its commit until the PDS has it, p99, while another host hangs,"
    " as a multiple of the same while that one has nothing to do."
)
MAX_RATIO: Final = 1.25
HEALTHY, HANGING = "http://well.bench", "http://hangs.bench"
ACCOUNTS_PER_HOST: Final = 16
RESPONSE_SECONDS: Final = 0.02
EDIT_INTERVAL_SECONDS: Final = 0.02
EDITS_PER_OPERATION: Final = 10
"""A p99 needs many samples."""
DELIVERY_TIMEOUT_SECONDS: Final = 60.0

_next_number: Final = count(1)


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with simulated hosts, and a real relay, database and clock."""
    rows: list[Row] = []
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        bench = _Hosts(log)
        with _only_errors_logged():
            rows += compare(
                Arm(f"{name}: p99 alone", bench.alone),
                [Arm(f"{name}: p99 beside a host that hangs", bench.beside, below=MAX_RATIO)],
                effort,
                show_progress,
            )
    return rows


@contextmanager
def _only_errors_logged() -> Iterator[None]:
    """Keep warnings about the hanging host out of the output."""
    logger = logging.getLogger("mastertape.outbox")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Hosts:
    """Accounts with a track each, half of them at a host that hangs."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._healthy = range(1, ACCOUNTS_PER_HOST + 1)
        self._hanging = range(ACCOUNTS_PER_HOST + 1, 2 * ACCOUNTS_PER_HOST + 1)
        for host, numbers in ((HEALTHY, self._healthy), (HANGING, self._hanging)):
            for number in numbers:
                register(log, number)
                with log.database.write() as connection:
                    resume_lane(connection, did_of(number), host, log.database.now(connection))

    def alone(self, operations: int) -> Seconds:
        """Edit while the hanging host is paused."""
        self._begin(paused=True)
        return [asyncio.run(self._p99(operations * EDITS_PER_OPERATION))]

    def beside(self, operations: int) -> Seconds:
        """Edit while all accounts of the hanging host wait for a response."""
        self._begin(paused=False)
        for number in self._hanging:
            retitle(self._log, number, f"Take {next(_next_number)}")
        return [asyncio.run(self._p99(operations * EDITS_PER_OPERATION))]

    def _begin(self, *, paused: bool) -> None:
        """Reset lanes, targets and hosts after the previous round."""
        with self._log.database.write() as connection:
            free = {"lease_until": PAST, "lease_owner": None}
            connection.execute(update(mirror_lane).values(not_before=PAST, failures=0, **free))
            connection.execute(update(mirror_target).values(not_before=PAST))
            healthy = {
                "breaker": BreakerState.CLOSED,
                "retry_at": PAST,
                "ramp": None,
                "openings": 0,
                "failures": 0,
            }
            connection.execute(update(pds_host).values(many_fail=False, failing_did=None, **healthy))
            connection.execute(update(pds_host).where(pds_host.c.host == HANGING).values(paused=paused))

    async def _p99(self, edits: int) -> float:
        pds = _Pds({did_of(number) for number in self._hanging})
        stop = asyncio.Event()
        async with relay_to(self._log, pds, RelayLimits()) as relay:
            running = asyncio.create_task(relay.run(stop))
            try:
                seconds = await self._edit(pds, relay, edits)
            finally:
                stop.set()
                pds.disconnect()
                await running
        return quantiles(seconds, n=100, method="inclusive")[-1]

    async def _edit(self, pds: "_Pds", relay: Relay, edits: int) -> list[float]:
        """Edit the accounts in turn. The first edit of each is a warm-up and not counted."""
        waits = []
        for number in range(-ACCOUNTS_PER_HOST, edits):
            account, take = self._healthy[number % ACCOUNTS_PER_HOST], next(_next_number)
            arrived = pds.expect(did_of(account), take)
            await asyncio.to_thread(retitle, self._log, account, f"Take {take}")
            committed = time.perf_counter()
            relay.wake()
            waits.append(asyncio.create_task(_seconds_until(arrived, committed)))
            await asyncio.sleep(EDIT_INTERVAL_SECONDS)
        return (await asyncio.gather(*waits))[ACCOUNTS_PER_HOST:]


async def _seconds_until(arrived: "asyncio.Future[float]", committed: float) -> float:
    async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
        return max(await arrived - committed, 1e-6)


class _Pds:
    """A PDS that stores every record after RESPONSE_SECONDS, and never responds to the ignored accounts."""

    def __init__(self, ignored: set[str]) -> None:
        self._ignored = ignored
        self._disconnected = asyncio.Event()
        self._expected: dict[str, dict[int, asyncio.Future[float]]] = defaultdict(dict)

    def expect(self, did: str, take: int) -> "asyncio.Future[float]":
        """Return the time at which this edit arrives, or a later one that includes it."""
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._expected[did][take] = arrived
        return arrived

    def disconnect(self) -> None:
        """Fail the requests that wait for a response."""
        self._disconnected.set()

    async def request(
        self, did: str, method: str, nsid: str, *, json: Any = None, **_: Any
    ) -> httpx.Response:
        if did in self._ignored:
            await self._disconnected.wait()
            raise httpx.ReadTimeout(f"no response to {method} {nsid}")
        await asyncio.sleep(RESPONSE_SECONDS)
        latest = int(json["record"]["title"].rsplit(maxsplit=1)[1])
        for take in [take for take in self._expected[did] if take <= latest]:
            self._expected[did].pop(take).set_result(time.perf_counter())
        return put_record_response(did, json)
