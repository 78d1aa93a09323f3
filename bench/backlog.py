"""An edit in an account of which a replay of very many records waits, beside one in an account of which nothing does."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from bench.logs import COLLECTION, did_of, logs, register, retitle
from bench.relays import WillingPds, relay_to
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
BELOW: Final = 1.25
WAITING: Final = 40_000
FEW_WAITING: Final = 400
HOST: Final = "http://pds.bench"
LIMITS: Final = RelayLimits(lease=timedelta(seconds=60))
ALONE, BESIDE = 1, 2
"""Accounts."""

_next_number: Final = count(1)


def run(folder: Path, effort: Effort, tell: Callable[[str], None]) -> list[Row]:
    """Measure it with a replay that its PDS lets wait, so that only the edits are sent."""
    rows: list[Row] = []
    for name, log in logs(folder):
        tell(f"filling a log, {name}")
        for account in (ALONE, BESIDE):
            _sign_up(log, account)
        _let_wait(log, BESIDE, FEW_WAITING if effort.is_quick else WAITING)
        rows += compare(
            Arm(f"{name}: an edit alone", _edits(log, ALONE)),
            [Arm(f"{name}: an edit beside a replay", _edits(log, BESIDE), below=BELOW)],
            effort,
            tell,
        )
    return rows


def _sign_up(log: EventLog, account: int) -> None:
    register(log, account)
    with log.database.write() as connection:
        resume_lane(connection, did_of(account), HOST, log.database.now(connection))
        change_lane(connection, did_of(account), backfill_after=NEVER)
    asyncio.run(_relay_once(log))


def _let_wait(log: EventLog, account: int, records: int) -> None:
    row = {
        "did": did_of(account),
        "collection": COLLECTION,
        "desired_gen": 1,
        "desired_op": PUT,
        "detached": False,
        "backfill": True,
    }
    rows = [row | {"rkey": f"{number}", "track_id": BESIDE + number} for number in range(1, records + 1)]
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
    async with relay_to(log, WillingPds(), LIMITS) as relay:
        began = time.perf_counter()
        ended = await relay.run_once()
        seconds = time.perf_counter() - began
    if ended != {Outcome.DELIVERED: 1}:
        raise RuntimeError(f"not the edit alone was delivered: {ended}")
    return seconds
