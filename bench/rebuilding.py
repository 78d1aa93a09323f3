"""Edits a track at a steady pace during a whole `mastertape rebuild`, and before it."""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median, quantiles
from subprocess import DEVNULL, Popen
from typing import Final

from bench.growth import Begun, begun
from bench.report import Row, Spread
from bench.rounds import Effort, Seconds
from bench.services import start_servers
from demo.service import MASTERTAPE
from service.observability.subscribers import PROJECTIONS

SENTENCE: Final = (
    "p99 of a PATCH each 50 ms, counted from when it was due, during a whole rebuild of 1,000,000 events, as a multiple"
    " of the same before it; none is refused."
)
EVENTS: Final = 1_000_000
QUICK_EVENTS: Final = 2_000
MAX_RATIO: Final = 2.0
INTERVAL_SECONDS: Final = 0.05
EDITS_ALONE: Final = 2_000
QUICK_EDITS_ALONE: Final = 20


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure once on each database: a rebuild is long enough."""
    rows: list[Row] = []
    events, alone = (QUICK_EVENTS, QUICK_EDITS_ALONE) if effort.is_quick else (EVENTS, EDITS_ALONE)
    with start_servers(folder) as servers:
        for name in ("SQLite", "PostgreSQL"):
            with ExitStack() as stack:
                show_progress(f"filling a database with {events} events, {name}")
                service = stack.enter_context(begun(servers, f"{name}-rebuilt".lower(), events, PROJECTIONS))
                if service is not None:
                    show_progress(f"editing, {name}")
                    before = _paced(service, lambda done: done < alone)
                    show_progress(f"editing during a rebuild, {name}")
                    beside = _beside_rebuild(folder, service)
                    rows += [
                        _row(f"{name}: PATCH", before, before, None),
                        _row(f"{name}: PATCH during a rebuild of {events} events", beside, before, MAX_RATIO),
                    ]
    return rows


def _beside_rebuild(folder: Path, service: Begun) -> Seconds:
    env = {"MASTERTAPE_DATA": str(folder), "MASTERTAPE_DATABASE_URL": service.log.database.url}
    with Popen([MASTERTAPE, "rebuild"], env={**os.environ, **env}, stdout=DEVNULL) as rebuild:
        seconds = _paced(service, lambda _: rebuild.poll() is None)
    if rebuild.returncode != 0:
        raise RuntimeError(f"the rebuild ended with {rebuild.returncode}")
    return seconds


def _paced(service: Begun, goes_on: Callable[[int], bool]) -> Seconds:
    """Edit at a steady pace, and return how long after it was due each edit was done: one that waits delays those behind it."""
    began, seconds = time.perf_counter(), list[float]()
    while goes_on(len(seconds)):
        due = began + INTERVAL_SECONDS * len(seconds)
        time.sleep(max(0.0, due - time.perf_counter()))
        service.edit()
        seconds.append(time.perf_counter() - due)
    return seconds


def _row(arm: str, seconds: Seconds, floor: Seconds, below: float | None) -> Row:
    p99, of_floor = (quantiles(each, n=100, method="inclusive")[-1] for each in (seconds, floor))
    return Row(
        arm=arm,
        milliseconds=Spread.of([1000 * median(seconds)]),
        per_second=Spread.of([1 / fmean(seconds)]),
        ratio=Spread.of([p99 / of_floor]),
        below=below,
    )
