"""Compares a unit of work, which writes event, read models and target, with the library's own save of one event."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import count, repeat
from pathlib import Path
from typing import Final

from bench.cpu import Cpu
from bench.logs import logs, register, retitle, track_of
from bench.replayed import Statements, copied, driver, record
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.stock import Stock, stock_on
from eventstore.event_log import EventLog
from eventstore.sql.database import Database

SENTENCE: Final = (
    "What an edit's unit of work (lock, load, event, read models, target) takes, as a multiple of the event-sourcing"
    " library's own save of one event; and its statements alone, given to the driver once more."
)
THREADS: Final = (1, 8, 32)
UNITS_PER_OPERATION: Final = 10

_next_number: Final = count(1)
Edit = Callable[[int], None]
"""Edits the track of the account with this number."""


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with one account and track a thread, as durable on both sides."""
    rows: list[Row] = []
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        for number in range(1, max(THREADS) + 1):
            register(log, number)
        edits = effort.rounds * (_edits(effort.count) + 1)
        with copied(log.database, folder) as url, closing(Database(url)) as copy, driver(url) as give:
            replay = _cpu_seconds_per_edit(copy, _replays(_recorded(log, edits), give))
            alone = Arm(f"{name}: its statements alone, processor time", replay)
            with stock_on(log.database, folder) as stock:
                rows += _compared(log, stock, alone, effort, show_progress)
    return rows


def _compared(
    log: EventLog, stock: Stock, alone: Arm, effort: Effort, show_progress: Callable[[str], None]
) -> list[Row]:
    name, _, _ = alone.name.partition(":")
    save, unit = _saves(stock), _units(log)
    rows: list[Row] = []
    for threads in THREADS:
        what = f"{threads} thread{'s' * (threads > 1)}"
        rows += compare(
            Arm(f"{name}: library's save, {what}", _seconds_per_edit(save, threads)),
            [Arm(f"{name}: unit of work, {what}", _seconds_per_edit(unit, threads))],
            effort,
            show_progress,
        )
    cpu = _cpu_seconds_per_edit(log.database, unit)
    return rows + compare(
        Arm(f"{name}: library's save, processor time", _cpu_seconds_per_edit(log.database, save)),
        [Arm(f"{name}: unit of work, processor time", cpu), alone],
        effort,
        show_progress,
    )


def _units(log: EventLog) -> Edit:
    return lambda number: retitle(log, number, f"Take {next(_next_number)}")


def _saves(stock: Stock) -> Edit:
    tracks = {number: track_of(number) for number in range(1, max(THREADS) + 1)}
    stock.save(*tracks.values())

    def save(number: int) -> None:
        track = tracks[number]
        track.edit({"title": f"Take {next(_next_number)}"}, at=track.modified_on)
        stock.save(track)

    return save


def _seconds_per_edit(edit: Edit, threads: int) -> Callable[[int], Seconds]:
    def run(operations: int) -> Seconds:
        edits = max(1, operations * UNITS_PER_OPERATION // threads)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(edit, range(1, threads + 1)))  # every thread has begun, and has its connection
            began = time.perf_counter()
            list(pool.map(many, range(1, threads + 1), repeat(edits)))
            return [(time.perf_counter() - began) / (edits * threads)]

    def many(number: int, edits: int) -> None:
        for _ in range(edits):
            edit(number)

    return run


def _recorded(log: EventLog, edits: int) -> Iterator[Statements]:
    """Make edits; the time is told to them, since no statement may prove it again later."""
    with closing(Database(log.database.url, clock=lambda: datetime.now(UTC))) as database:
        told = EventLog(database, projections=log.projections)
        return record(partial(_units(told), 1), edits)


def _replays(recorded: Iterator[Statements], give: Callable[[Statements], None]) -> Edit:
    return lambda _: give(next(recorded))


def _edits(operations: int) -> int:
    return operations * UNITS_PER_OPERATION


def _cpu_seconds_per_edit(database: Database, edit: Edit) -> Callable[[int], Seconds]:
    def run(operations: int) -> Seconds:
        edits = _edits(operations)
        edit(1)
        cpu = Cpu(database)
        for _ in range(edits):
            edit(1)
        return [cpu.seconds() / edits]

    return run
