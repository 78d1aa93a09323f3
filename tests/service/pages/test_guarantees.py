"""Each guarantee has its proofs, and the tests and modules that a page names exist."""

import re
from collections import Counter
from pathlib import Path

from tests import resource_limits

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/guarantees.md").read_text()
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])


def test_the_limits_on_the_page_of_guarantees_are_current() -> None:
    assert PAGE.endswith(resource_limits.SECTION)


def test_no_guarantee_is_listed_twice_and_each_has_proofs_of_its_own_that_exist() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[-1] != "proved by"]
    proofs = [re.findall("`([^`]+)`", row[-1]) for row in rows]
    assert [
        row for row, named in zip(rows, proofs, strict=True) if not all(map(proof_exists, named or [""]))
    ] == []
    guarantees = [row for row in rows if len(row) == 3]
    assert len(guarantees) > 100
    for column in (0, -1):
        times = Counter(row[column].casefold() for row in guarantees)
        assert [each for each, count in times.items() if count > 1] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        (page.name, proof)
        for page in PAGES
        for proof in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page.read_text())
    }
    assert len(named) > 100
    assert sorted(each for each in named if not proof_exists(each[1])) == []


def test_every_module_that_a_page_names_exists() -> None:
    names = {path.parent.name for path in (ROOT / "src").glob("*/__init__.py")} - {
        "mastertape"
    }  # the wheel's
    packages = "|".join(sorted(names))
    named = {
        (page.name, module)
        for page in PAGES
        for module in re.findall(rf"`(?:src/)?((?:{packages})/[\w/]+(?:\.py)?)`", page.read_text())
    }
    assert len(named) > 50
    assert sorted(each for each in named if not module_exists(each[1])) == []


def test_no_word_stands_twice_in_the_glossary() -> None:
    rows = re.findall(r"^\| ([^|]+) \|.*`[/\w.]+` \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = Counter(word for row in rows for word in row.split(", "))
    assert len(words) > 30
    assert [word for word, times in words.items() if times > 1] == []


def proof_exists(proof: str) -> bool:
    if bench := re.fullmatch(r"\./dev bench (\w+)", proof):
        return (ROOT / f"bench/{bench[1]}.py").exists()
    path, _, name = proof.partition("::")
    module = ROOT / path
    return module.is_file() and (not name or bool(re.search(rf"\bdef {name}\(", module.read_text())))


def module_exists(module: str) -> bool:
    path = ROOT / "src" / module
    return path.exists() or path.with_suffix(".py").exists()
