"""docs/incidents.md names a test of every incident, and every test of this folder."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
INCIDENTS = range(1, 45)


def rows() -> list[tuple[int, str, str]]:
    """Each row's incident, and the file and name of its test."""
    page = (ROOT / "docs" / "incidents.md").read_text()
    found = re.findall(r"^\| INC-(\d\d) \|.*\| `(tests/\S+\.py)::(\w+)` \|$", page, re.MULTILINE)
    return [(int(number), file, name) for number, file, name in found]


def test_every_incident_has_a_row_and_none_two() -> None:
    assert [number for number, _, _ in rows()] == list(INCIDENTS)


def test_every_row_names_a_test_and_no_test_here_is_left_out() -> None:
    named = {name for _, _, name in rows()}
    assert [name for _, file, name in rows() if f"def {name}(" not in (ROOT / file).read_text()] == []
    here = re.findall(
        r"^def (test_inc_\w+)\(",
        "".join(map(Path.read_text, Path(__file__).parent.glob("test_*.py"))),
        re.MULTILINE,
    )
    assert set(here) <= named
