"""Compares a rebuild and a verification of the read models with a plain read of the log."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.logs import logs, register
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from projections.rebuild.rebuild import EVENTS_PER_PAGE, Replayer, differences, rebuild

SENTENCE: Final = (
    "What an event costs a rebuild and a verification, as a multiple of reading it from the log."
)
TRACKS: Final = 60
QUICK_TRACKS: Final = 6
EDITS_PER_TRACK: Final = 19


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with a log of tracks that were edited a few times each."""
    rows: list[Row] = []
    tracks = QUICK_TRACKS if effort.is_quick else TRACKS
    for name, log in logs(folder):
        show_progress(f"filling a log, {name}")
        for number in range(1, tracks + 1):
            register(log, number, edits=EDITS_PER_TRACK)
        events = tracks * (EDITS_PER_TRACK + 1)
        arms = [
            Arm(f"{name}: {what}", _seconds_per_event(events, work))
            for what, work in {
                "read": lambda log=log: _read(log),
                "read and fold": lambda log=log: _fold(log),
                "verify": lambda log=log: differences(log, log.projections),
                "rebuild": lambda log=log: rebuild(log, log.projections),
            }.items()
        ]
        rows += compare(arms[0], arms[1:], effort, show_progress)
    return rows


def _seconds_per_event(events: int, work: Callable[[], object]) -> Callable[[int], Seconds]:
    def run(_count: int) -> Seconds:
        began = time.perf_counter()
        work()
        return [(time.perf_counter() - began) / events]

    return run


def _read(log: EventLog) -> None:
    position, until = 0, log.stable_position()
    while page := log.read(after=position, until=until, limit=EVENTS_PER_PAGE):
        position = page[-1].position


def _fold(log: EventLog) -> None:
    replayer, position, until = Replayer(log), 0, log.stable_position()
    while page := log.read(after=position, until=until, limit=EVENTS_PER_PAGE):
        replayer.changes(page)
        position = page[-1].position
