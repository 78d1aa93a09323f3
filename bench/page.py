"""`./dev bench --json > FILE`, then `python -m bench.page FILE > docs/performance.md`: the page of one run."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.goals import GOALS

BEGINNING: Final = """# Performance

Made from one run of all these benches (`./dev bench --json`) by `python -m bench.page`; the machine is shared, so only the ratios mean something.
Each is the median of the rounds, with the lowest and the highest round beside it. All arms of a bench take turns, each just after the first row
of its table, which it is compared with. A promise that is not kept is named as such.
"""


GOALS_HEAD: Final = """
## Goals

What the project set out to reach: each is a ratio of times, or of what the row names, to the reference, or a figure whose unit the row names.

| what | reference | reach | this run |
|---|---|---|---|"""
BOUNDS_HEAD: Final = """
What bounds those that are not reached, by profiles of the processes at work:
"""


def page(reports: Sequence[dict[str, Any]]) -> str:
    """Return the page for these reports, as `Report.as_json` makes them."""
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}."
    goals = [GOALS_HEAD, *(goal.row(reports) for goal in GOALS), BOUNDS_HEAD]
    bounds = dict.fromkeys(goal.bounded_by for goal in GOALS if goal.bounded_by and goal.is_missed(reports))
    goals += [f"- **{bound.name}**: {bound.text}" for bound in bounds]
    return "\n".join([BEGINNING, machine, *goals, *(_section(report) for report in reports)])


def _section(report: dict[str, Any]) -> str:
    lines = [
        f"\n## {report['bench']}\n",
        report["sentence"] + "\n",
        "| arm | ratio | promise | p50 in ms | a second |",
        "|---|---|---|---|---|",
        *(_row(row) for row in report["rows"]),
    ]
    return "\n".join(lines)


def _row(row: dict[str, Any]) -> str:
    ratio = row["ratio"]
    spread = "" if ratio["low"] == ratio["high"] else f" ({ratio['low']:.3g}..{ratio['high']:.3g})"
    promise = "" if row["below"] is None else f"< {row['below']:g}" + ("" if row["kept"] else " **not kept**")
    speeds = [f"{row[figure]['median']:.3g}" for figure in ("p50_ms", "per_second")]
    return f"| {row['arm']} | {ratio['median']:.3g}{spread} | {promise} | {' | '.join(speeds)} |"


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    sys.stdout.write(page([json.loads(line) for line in lines if line.strip()]) + "\n")
