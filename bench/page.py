"""`./dev bench --json > FILE`, then `python -m bench.page FILE > docs/performance.md`: the page of one run."""

import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.goals import GOALS, Goal

BEGINNING: Final = """# Performance

Goals, not promises: each is a ratio of times to its reference, the median of the rounds, or a figure whose unit its row names. What was missed is in
bold, with what bounds it below. The machine is shared, so only ratios mean something.

`./dev bench` runs all benches, `./dev bench NAME` one, with every arm, its spread and its milliseconds; a bench that keeps a promise fails when that
breaks. This page is made by `./dev bench --json > FILE`, then `python -m bench.page FILE`.
"""
ENDING: Final = """
## What does not grow

An edit and its delivery take the CPU of a track of 10 events on one of 1,000 (ratio 1.0 on SQLite, 0.9 on PostgreSQL); an earlier version or a
difference at 10,000 versions that at 100 (1.0 to 1.1); the statements of a poll and a claim with 50,000 due lanes at one host 0.3 ms, as with 50.
Tests count what each reads. `python -m bench.large` fills PostgreSQL by SQL, and shows the time and the plan of each call beside 100,000 accounts.
"""
HEAD: Final = """| what | reference | goal and result: SQLite, or any | PostgreSQL | bound |
|---|---|---|---|---|"""
DATABASE: Final = re.compile(", (SQLite|PostgreSQL)(?=$|, )")
DEAREST: Final = re.compile(r"^(page|screen|search) (?:of|for) .*|^.*( beside 1,000,000 events)$")
"""Of these only the dearest is shown."""


def page(reports: Sequence[dict[str, Any]]) -> str:
    """Return the page for these reports, as `Report.as_json` makes them."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}.\n"
    rows: dict[str, list[Goal]] = {}
    for goal in GOALS:
        rows.setdefault(DEAREST.sub(_dearest, DATABASE.sub("", goal.what)), []).append(goal)
    bounds = dict.fromkeys(goal.bounded_by for goal in GOALS if goal.bounded_by and goal.is_missed(reports))
    return "\n".join(
        [
            BEGINNING,
            machine,
            HEAD,
            *(_row(what, goals, reports) for what, goals in rows.items()),
            "",
            *(f"- **{bound.name}**: {bound.text}" for bound in bounds),
            ENDING.rstrip("\n"),
        ]
    )


def _dearest(found: re.Match[str]) -> str:
    return f"the dearest {found[1] or 'call'}{found[2] or ''}"


def _row(what: str, goals: Sequence[Goal], reports: Sequence[dict[str, Any]]) -> str:
    cells = ["", ""]
    for goal in sorted(goals, key=lambda each: each.found(reports) or 0):
        cells[", PostgreSQL" in goal.what] = goal.judged(reports)
    missed = dict.fromkeys(
        goal.bounded_by.name for goal in goals if goal.bounded_by and goal.is_missed(reports)
    )
    return f"| {what} | {goals[0].reference} | {' | '.join(cells)} | {', '.join(missed)} |"


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    sys.stdout.write(page([json.loads(line) for line in lines if line.strip()]) + "\n")
