"""A host that hangs, beside one that is well: what its neighbours notice of it."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import httpx
from sqlalchemy import update

from bench.logs import did_of, logs, register, retitle
from bench.relays import relay_to, written
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
BELOW: Final = 1.25
WELL, HANGING = "http://well.bench", "http://hangs.bench"
ACCOUNTS: Final = 16
"""At each host."""
ANSWER_SECONDS: Final = 0.02
EVERY_SECONDS: Final = 0.02
EDITS: Final = 10
"""So many for each operation that is asked for: a p99 needs many."""
LONGEST_SECONDS: Final = 60.0

_next_number: Final = count(1)


def run(folder: Path, effort: Effort, tell: Callable[[str], None]) -> list[Row]:
    """Measure it on simulated hosts: the relay, its database and its clock are real."""
    logging.getLogger("outbox").setLevel(logging.ERROR)  # that a host hangs is on purpose
    rows: list[Row] = []
    for name, log in logs(folder):
        tell(f"filling a log, {name}")
        bench = _Hosts(log)
        rows += compare(
            Arm(f"{name}: p99 alone", bench.alone),
            [Arm(f"{name}: p99 beside a host that hangs", bench.beside, below=BELOW)],
            effort,
            tell,
        )
    return rows


class _Hosts:
    """Accounts with a track each, half of them at a host that hangs."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._well = range(1, ACCOUNTS + 1)
        self._hanging = range(ACCOUNTS + 1, 2 * ACCOUNTS + 1)
        for host, numbers in ((WELL, self._well), (HANGING, self._hanging)):
            for number in numbers:
                register(log, number)
                with log.database.write() as connection:
                    resume_lane(connection, did_of(number), host, log.database.now(connection))

    def alone(self, operations: int) -> Seconds:
        """Edit, while the other host is paused."""
        self._begin(paused=True)
        return [asyncio.run(self._p99(operations * EDITS))]

    def beside(self, operations: int) -> Seconds:
        """Edit, while all accounts of the other host wait for it."""
        self._begin(paused=False)
        for number in self._hanging:
            retitle(self._log, number, f"Take {next(_next_number)}")
        return [asyncio.run(self._p99(operations * EDITS))]

    def _begin(self, *, paused: bool) -> None:
        """Forget what the round before has left behind."""
        with self._log.database.write() as connection:
            free = {"lease_until": PAST, "lease_owner": None}
            connection.execute(update(mirror_lane).values(not_before=PAST, failures=0, **free))
            connection.execute(update(mirror_target).values(not_before=PAST))
            well = {
                "breaker": BreakerState.CLOSED,
                "retry_at": PAST,
                "ramp": None,
                "openings": 0,
                "failures": 0,
            }
            connection.execute(update(pds_host).values(many_fail=False, failing_did=None, **well))
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
                pds.let_go()
                await running
        return quantiles(seconds, n=100, method="inclusive")[-1]

    async def _edit(self, pds: "_Pds", relay: Relay, edits: int) -> list[float]:
        """Edit the accounts in turn; the first edit of each finds the relay waking up, and is not counted."""
        waits = []
        for number in range(-ACCOUNTS, edits):
            account, take = self._well[number % ACCOUNTS], next(_next_number)
            arrived = pds.expect(did_of(account), take)
            await asyncio.to_thread(retitle, self._log, account, f"Take {take}")
            committed = time.perf_counter()
            relay.wake()
            waits.append(asyncio.create_task(_seconds_until(arrived, committed)))
            await asyncio.sleep(EVERY_SECONDS)
        return (await asyncio.gather(*waits))[ACCOUNTS:]


async def _seconds_until(arrived: "asyncio.Future[float]", committed: float) -> float:
    async with asyncio.timeout(LONGEST_SECONDS):
        return max(await arrived - committed, 1e-6)


class _Pds:
    """Takes every record after a moment; says nothing to some accounts, until it lets them go."""

    def __init__(self, ignored: set[str]) -> None:
        self._ignored = ignored
        self._gone = asyncio.Event()
        self._expected: dict[str, dict[int, asyncio.Future[float]]] = defaultdict(dict)

    def expect(self, did: str, take: int) -> "asyncio.Future[float]":
        """The time at which this edit is here, by itself or in one after it."""
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._expected[did][take] = arrived
        return arrived

    def let_go(self) -> None:
        """Cut off whoever waits."""
        self._gone.set()

    async def request(
        self, did: str, method: str, nsid: str, *, json: Any = None, **_: Any
    ) -> httpx.Response:
        """Answer as a PDS does that has written it, or not at all."""
        if did in self._ignored:
            await self._gone.wait()
            raise httpx.ReadTimeout(f"nothing was heard of {method} {nsid}")
        await asyncio.sleep(ANSWER_SECONDS)
        here = int(json["record"]["title"].rsplit(maxsplit=1)[1])
        for take in [take for take in self._expected[did] if take <= here]:
            self._expected[did].pop(take).set_result(time.perf_counter())
        return written(did, json)
