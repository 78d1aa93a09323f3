"""The page of guarantees is current, and the tests and modules that a page names exist."""

import re
from collections import Counter
from pathlib import Path

from tests import guarantees as guarantees_page
from tests.resource_limits import RESOURCES

ROOT = Path(__file__).parents[3]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])


def test_the_page_of_guarantees_is_current() -> None:
    assert (ROOT / "docs/guarantees.md").read_text() == guarantees_page.page()


def test_no_guarantee_is_listed_twice_and_each_has_a_proof() -> None:
    rows = list(guarantees_page.guarantees())
    texts = Counter(" ".join(each.text.casefold().split()) for each in rows)
    assert [text for text, times in texts.items() if times > 1] == []
    proofs = Counter(each.proofs for each in rows)
    assert [proof for proof, times in proofs.items() if times > 1] == []


def test_every_guarantee_and_every_shared_resource_has_a_proof_that_exists() -> None:
    rows = [*guarantees_page.guarantees(), *RESOURCES]
    assert [row for row in rows if not row.proofs] == []
    named = [proof for each in rows for proof in each.proofs]
    assert [proof for proof in named if not proof_exists(proof)] == []


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
    return module.exists() and (not name or bool(re.search(rf"\bdef {name}\(", module.read_text())))


def module_exists(module: str) -> bool:
    path = ROOT / "src" / module
    return path.exists() or path.with_suffix(".py").exists()
