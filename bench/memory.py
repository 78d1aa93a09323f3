"""Compares the memory that a rebuild of a long log takes at most with that of a shorter one."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.logs import fill, log_at, logs
from bench.report import Row, Spread
from bench.rounds import Effort
from eventstore.event_log import EventLog
from projections.rebuild.rebuild import rebuild

SENTENCE: Final = "The most memory that a rebuild of 1,000,000 events takes, as a multiple of that for 100,000; the time is of an event."
FEW, MANY = 100_000, 1_000_000
QUICK_FEW, QUICK_MANY = 400, 2_000
MAX_RATIO: Final = 1.2


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure once on each database: memory does not vary as time does."""
    rows: list[Row] = []
    few, many = (QUICK_FEW, QUICK_MANY) if effort.is_quick else (FEW, MANY)
    for name, log in logs(folder):
        shorter: float | None = None
        filled = 0
        for events in (few, many):
            show_progress(f"filling a log with {events} events, {name}")
            fill(log, filled, events)
            filled = events
            show_progress(f"rebuilding from {events} events, {name}")
            megabytes, seconds = _rebuilt(log)
            shorter = shorter or megabytes
            rows.append(
                Row(
                    arm=f"{name}: {events} events",
                    milliseconds=Spread.of([1000 * seconds / events]),
                    per_second=Spread.of([events / seconds]),
                    ratio=Spread.of([megabytes / shorter]),
                    below=MAX_RATIO if events == many else None,
                )
            )
    return rows


def _rebuilt(log: EventLog) -> tuple[float, float]:
    """Rebuild in a new process; return its most megabytes, and the seconds."""
    ended = subprocess.run(
        [sys.executable, "-m", __name__, log.database.url], check=True, stdout=subprocess.PIPE
    )
    megabytes, seconds = json.loads(ended.stdout)
    return megabytes, seconds


def main(url: str) -> None:
    """Rebuild, and print what it took."""
    with log_at(url) as log:
        began = time.perf_counter()
        rebuild(log, log.projections)
        seconds = time.perf_counter() - began
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps([kilobytes / 1024, seconds]))


if __name__ == "__main__":
    main(sys.argv[1])
