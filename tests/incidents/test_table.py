"""docs/incidents.md and this folder list the same incidents."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "incidents.md"
INCIDENTS = range(1, 45)


def rows() -> list[tuple[int, str, str]]:
    """Each row's incident, and the file and name of its test."""
    found = re.findall(
        r"^\| INC-(\d\d) \|.*\| `tests/incidents/(\w+\.py)::(\w+)` \|$", PAGE.read_text(), re.MULTILINE
    )
    return [(int(number), file, name) for number, file, name in found]


def told_here() -> set[tuple[int, str, str]]:
    """Each test of an incident in this folder."""
    return {
        (int(number), file.name, name)
        for file in HERE.glob("test_*.py")
        for name, number in re.findall(r"^def (test_inc_(\d\d)\w+)\(", file.read_text(), re.MULTILINE)
    }


def test_every_incident_has_a_row_and_none_two() -> None:
    assert [number for number, _, _ in rows()] == list(INCIDENTS)


def test_every_row_names_the_test_of_its_incident_and_no_test_is_left_out() -> None:
    assert set(rows()) == told_here()
