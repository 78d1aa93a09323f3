"""Compares a search among many tracks with the same search among a tenth of them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.logs import did_of, logs, track_of, vacuum
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from eventstore.event_log import EventLog
from eventstore.projection import insert_rows
from projections.tracks.queries import TrackFilter, track_page
from projections.tracks.table import normalized, row_of, tracks

SENTENCE: Final = "What a search takes among 100,000 tracks, as a multiple of the same among 10,000 of them."
FEW, MANY = 10_000, 100_000
QUICK_FEW, QUICK_MANY = 100, 1_000
MAX_RATIO: Final = 1.2
TERMS: Final = {
    "of one track": "take 000077",
    "of every track": "take",
    "of no track": "nowhere",
    "of two letters": "zz",
}
PAGES_PER_OPERATION: Final = 5
ROWS_PER_INSERT: Final = 5_000


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with two databases of each kind, whose read model is filled directly."""
    rows: list[Row] = []
    sizes = {"few": QUICK_FEW if effort.is_quick else FEW, "many": QUICK_MANY if effort.is_quick else MANY}
    for name in sizes:
        (folder / name).mkdir()
    for (name, smaller), (_, larger) in zip(*(logs(folder / each) for each in sizes), strict=True):
        show_progress(f"filling the read models, {name}")
        for log, size in zip((smaller, larger), sizes.values(), strict=True):
            _fill(log, size)
        for what, term in TERMS.items():
            rows += compare(
                Arm(f"{name}: a term {what}, {sizes['few']} tracks", _searches(smaller, term)),
                [Arm(f"{name}: a term {what}, {sizes['many']} tracks", _searches(larger, term), MAX_RATIO)],
                effort,
                show_progress,
            )
    return rows


def _fill(log: EventLog, size: int) -> None:
    row = row_of(track_of(1))
    for start in range(1, size + 1, ROWS_PER_INSERT):
        some = range(start, min(start + ROWS_PER_INSERT, size + 1))
        with log.database.write() as connection:
            insert_rows(connection, tracks, [row | _changed(number) for number in some])
    vacuum(log)


def _changed(number: int) -> dict[str, Any]:
    title = f"Take {number:06}"
    own = {"track_id": number, "did": did_of(number), "audio_cid": f"{number}", "rkey": f"{number}"}
    return own | {"title": title, "search": normalized(title)}


def _searches(log: EventLog, term: str) -> Callable[[int], Seconds]:
    def run(operations: int) -> Seconds:
        return [_seconds(log, term) for _ in range(operations)]

    return run


def _seconds(log: EventLog, term: str) -> float:
    began = time.perf_counter()
    for _ in range(PAGES_PER_OPERATION):
        with log.database.read() as connection:
            track_page(connection, TrackFilter(q=term))
    return time.perf_counter() - began
