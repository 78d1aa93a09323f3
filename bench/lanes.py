"""Compares the relay's own work, with a PDS that responds at once, and the cheapest durable transaction."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

from sqlalchemy import update

from bench.logs import did_of, logs, register, retitle
from bench.relays import InstantPds, relay_to
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import PAST, mirror_lane, pds_host
from outbox.relay.claim import claim
from outbox.relay.relay import RelayLimits
from outbox.relay.result import Outcome

SENTENCE: Final = (
    "What claiming a lane, appending an event and delivering a record (claim, read, intent, settle) cost,"
    " as a multiple of the cheapest durable transaction."
)
LANES: Final = 32
QUICK_LANES: Final = 4
HOST: Final = "http://pds.bench"
LEASE: Final = timedelta(seconds=60)
MICROSECOND: Final = timedelta(microseconds=1)

_next_number: Final = count(1)


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with accounts of one track each, all at one PDS."""
    rows: list[Row] = []
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        bench = _Lanes(log, QUICK_LANES if effort.is_quick else LANES)
        rows += compare(
            Arm(f"{name}: one-row transaction", bench.touch),
            [
                Arm(f"{name}: claim a lane", bench.claim),
                Arm(f"{name}: append an event", bench.append),
                Arm(f"{name}: deliver a record", bench.deliver),
            ],
            effort,
            show_progress,
        )
    return rows


class _Lanes:
    """The accounts, and the operations on their lanes."""

    def __init__(self, log: EventLog, lanes: int) -> None:
        self._log = log
        self._database = log.database
        self._numbers = range(1, lanes + 1)
        for number in self._numbers:
            register(log, number)
            with self._database.write() as connection:
                resume_lane(connection, did_of(number), HOST, self._database.now(connection))
        with self._database.write() as connection:
            connection.execute(update(pds_host).values(max_lanes=lanes))

    def touch(self, operations: int) -> Seconds:
        """Write one row and commit."""
        return [self._timed(self._touch) for _ in range(operations)]

    def claim(self, operations: int) -> Seconds:
        """Claim all lanes repeatedly; the time is per lane."""
        seconds = []
        for _ in range(max(1, operations // 4)):
            self._make_due()
            seconds.append(self._timed(self._claim) / len(self._numbers))
        self._make_due()
        return seconds

    def append(self, operations: int) -> Seconds:
        """Append one event to the track of each account."""
        return [self._timed(self._edit, number) for number in self._numbers[:operations]]

    def deliver(self, _operations: int) -> Seconds:
        """Deliver an edit of each account in all lanes concurrently; the time is per record."""
        for number in self._numbers:
            self._edit(number)
        return [asyncio.run(self._relay_once()) / len(self._numbers)]

    def _touch(self) -> None:
        with self._database.write() as connection:
            connection.execute(update(pds_host).values(retry_at=PAST + next(_next_number) * MICROSECOND))

    def _claim(self) -> None:
        lanes = claim(self._database, owner="bench", limit=len(self._numbers), lease=LEASE)
        if len(lanes) != len(self._numbers):
            raise RuntimeError(f"{len(lanes)} of {len(self._numbers)} lanes were due")

    def _edit(self, number: int) -> None:
        retitle(self._log, number, f"Take {next(_next_number)}")

    def _make_due(self) -> None:
        with self._database.write() as connection:
            connection.execute(update(mirror_lane).values(due_at=PAST, lease_until=PAST, lease_owner=None))

    async def _relay_once(self) -> float:
        limits = RelayLimits(len(self._numbers), LEASE)
        async with relay_to(self._log, InstantPds(), limits) as relay:
            began = time.perf_counter()
            ended = await relay.run_once()
            seconds = time.perf_counter() - began
        if ended[Outcome.DELIVERED] != len(self._numbers):
            raise RuntimeError(f"not all edits were delivered: {ended}")
        return seconds

    def _timed(self, work: Callable[..., None], *args: Any) -> float:
        began = time.perf_counter()
        work(*args)
        return time.perf_counter() - began
