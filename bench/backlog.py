"""Compares an edit in an account with a large backlog and an edit in an account without one."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from bench.logs import COLLECTION, did_of, logs, register, retitle, vacuum
from bench.relays import InstantPds, relay_to
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from outbox.mirror.lanes import change_lane, resume_lane
from outbox.mirror.tables import NEVER, PAST, mirror_target
from outbox.mirror.targets import PUT
from outbox.relay.relay import RelayLimits
from outbox.relay.result import Outcome

SENTENCE: Final = (
    "What a relay needs for an edit (claim, read, intent, settle, release) while 40,000 records of its account wait,"
    " as a multiple of the same while none does."
)
MAX_RATIO: Final = 1.25
BACKLOG_RECORDS: Final = 40_000
QUICK_BACKLOG_RECORDS: Final = 400
HOST: Final = "http://pds.bench"
LIMITS: Final = RelayLimits(lease=timedelta(seconds=60))
IDLE, BUSY = 1, 2
"""Account numbers: without and with a backlog."""

_next_number: Final = count(1)


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with a backlog that the lane holds back (`backfill_after`), so that only the edits are sent."""
    rows: list[Row] = []
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        for account in (IDLE, BUSY):
            _sign_up(log, account)
        _add_backlog(log, BUSY, QUICK_BACKLOG_RECORDS if effort.is_quick else BACKLOG_RECORDS)
        vacuum(log)
        rows += compare(
            Arm(f"{name}: an edit alone", _edits(log, IDLE)),
            [Arm(f"{name}: an edit beside a replay", _edits(log, BUSY), below=MAX_RATIO)],
            effort,
            show_progress,
        )
    return rows


def _sign_up(log: EventLog, account: int) -> None:
    register(log, account)
    with log.database.write() as connection:
        resume_lane(connection, did_of(account), HOST, log.database.now(connection))
        change_lane(connection, did_of(account), backfill_after=NEVER)
    asyncio.run(_relay_once(log))


def _add_backlog(log: EventLog, account: int, records: int) -> None:
    row = {
        "did": did_of(account),
        "collection": COLLECTION,
        "desired_gen": 1,
        "desired_op": PUT,
        "detached": False,
        "backfill": True,
    }
    rows = [row | {"rkey": f"{number}", "subject_id": BUSY + number} for number in range(1, records + 1)]
    with log.database.write() as connection:
        connection.execute(insert(mirror_target), rows)
        change_lane(connection, did_of(account), backfill_at=PAST)


def _edits(log: EventLog, account: int) -> Callable[[int], Seconds]:
    def run(operations: int) -> Seconds:
        seconds = []
        for _ in range(operations):
            retitle(log, account, f"Edit {next(_next_number)}")
            seconds.append(asyncio.run(_relay_once(log)))
        return seconds

    return run


async def _relay_once(log: EventLog) -> float:
    async with relay_to(log, InstantPds(), LIMITS) as relay:
        began = time.perf_counter()
        ended = await relay.run_once()
        seconds = time.perf_counter() - began
    if ended != {Outcome.DELIVERED: 1}:
        raise RuntimeError(f"the relay delivered more or less than the edit: {ended}")
    return seconds
