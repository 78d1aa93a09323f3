"""What a case said the last time, without what differs from run to run."""

import os
import re
import textwrap
from collections.abc import Iterable, Mapping
from difflib import unified_diff
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
PAGE = HERE.parents[2] / "docs" / "troubleshooting.md"
RECORDS = "DRILL_RECORDS"
AGAIN = "if it should: `python -m tests.e2e.drill.record`"

WIDTH = 120
CHANGING = {
    re.compile(r"did:plc:[a-z2-7]{24}"): "DID",
    re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?"): "TIME",
    re.compile(r"\b[0-9a-f]{32}\b"): "ID",
    re.compile(r"\b127\.0\.0\.1\b"): "LOOPBACK",
    # of a delivery that was under way, or of the next one
    re.compile(r"(?<=at first with: )[^;]+"): "ERROR",
    re.compile(
        r"(?<!exit )(?<!z: )\b\d+(\.\d+)?\b"
    ): "N",  # but exit codes and the statuses of /healthz and /readyz
}


def steady(text: str, names: Mapping[str, str]) -> str:
    """Replace ids, times, numbers and what `names` has, such as the address of a server."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, names[name])
    for pattern, instead in CHANGING.items():
        text = pattern.sub(instead, text)
    return text


def block(name: str, lines: Iterable[str]) -> str:
    """A block of the text: its name, and its lines folded."""
    folded = (
        textwrap.fill(line, WIDTH, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)
        for line in lines
    )
    return "\n".join([f"## {name}", *folded, ""])


def is_golden(case: str, title: str, scenes: Iterable[str]) -> None:
    """Compare what a case said with its golden text; operators find its title, and what to do, on the page."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {title} | ")]
    assert len(rows) == 1, f"docs/troubleshooting.md needs one row that begins with: {title}"
    text = "\n".join([f"# {title}\n", *scenes])
    file = GOLDEN / f"{case}.txt"
    if os.environ.get(RECORDS):
        file.write_text(text)
    differs = unified_diff(file.read_text().splitlines(), text.splitlines(), "golden", "now", lineterm="")
    assert text == file.read_text(), "\n".join([*differs, AGAIN])
