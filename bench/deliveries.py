"""Compares the CPU time of deliveries in one lane run, with a PDS that responds at once, and of the cheapest durable transaction."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import update

from bench.logs import did_of, logs, register, retitle
from bench.relays import InstantPds, relay_to
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import PAST, pds_host
from outbox.relay.lane_run import MAX_RECORDS_PER_RUN
from outbox.relay.relay import RelayLimits
from outbox.relay.result import Outcome

SENTENCE: Final = (
    "The CPU time that a relay's process takes for each of the records that one lane run delivers,"
    " as a multiple of that of a one-row transaction."
)
HOST: Final = "http://pds.bench"
ACCOUNT: Final = 1
LIMITS: Final = RelayLimits(lease=timedelta(seconds=60))
TOUCHES: Final = 200
"""A single transaction is too short for the clock of CPU time."""

_next_number: Final = count(1)


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with one account whose records were all edited."""
    rows: list[Row] = []
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        for number in range(MAX_RECORDS_PER_RUN):
            register(log, ACCOUNT + number, account=ACCOUNT)
        with log.database.write() as connection:
            resume_lane(connection, did_of(ACCOUNT), HOST, log.database.now(connection))
        rows += compare(
            Arm(f"{name}: one-row transaction", _touches(log)),
            [Arm(f"{name}: deliver a record", _deliveries(log))],
            effort,
            show_progress,
        )
    return rows


def _touches(log: EventLog) -> Callable[[int], Seconds]:
    def touch(_operations: int) -> Seconds:
        began = time.process_time()
        for _ in range(TOUCHES):
            later = PAST + timedelta(microseconds=next(_next_number))
            with log.database.write() as connection:
                connection.execute(update(pds_host).values(retry_at=later))
        return [(time.process_time() - began) / TOUCHES]

    return touch


def _deliveries(log: EventLog) -> Callable[[int], Seconds]:
    def deliver(operations: int) -> Seconds:
        seconds = []
        for _ in range(max(1, operations // 10)):
            for number in range(MAX_RECORDS_PER_RUN):
                retitle(log, ACCOUNT + number, f"Edit {next(_next_number)}", account=ACCOUNT)
            seconds.append(asyncio.run(_relay_once(log)) / MAX_RECORDS_PER_RUN)
        return seconds

    return deliver


async def _relay_once(log: EventLog) -> float:
    async with relay_to(log, InstantPds(), LIMITS) as relay:
        began = time.process_time()
        ended = await relay.run_once()
        seconds = time.process_time() - began
    if ended[Outcome.DELIVERED] < MAX_RECORDS_PER_RUN:
        raise RuntimeError(f"not all edits were delivered: {ended}")
    return seconds
