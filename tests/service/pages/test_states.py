"""The page of states shows every enum and every transition; no state value is quoted outside its enum."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from aggregates.errors import wording
from api.error_responses import REPLIES
from application.errors import AlreadyHasRecordError, BlobTooLargeError, MigrationNeededError
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from service.cli.main import main
from tests.api.auth.route_table import ROUTES
from tests.service.pages import states as states_page

ROOT = Path(__file__).parents[3]


def test_every_stored_state_is_entered_and_left_by_a_transition_and_every_shown_state_has_an_exit() -> None:
    enums = {each.__name__: each for each in states_page.state_enums()}
    for name, lines in states_page.transitions().items():
        states = {re.sub(r"\W", "_", each.value) for each in enums[name]}
        by_us = lines.replace("    [*] --> any: an import restores the row\n", "")
        for ends in zip(*re.findall(r"    (\S+) --> (\S+): \S.*\n", by_us), strict=True):
            named = {*ends} - {"[*]"}
            assert named - {"any"} <= states, name
            assert "any" in named or named == states, name
    for shown in (MirrorState, MirrorReason, LaneState):
        assert all(state.exit for state in shown)


def test_every_way_that_a_state_or_a_refusal_names_exists() -> None:
    exits = [state.exit for enum in states_page.state_enums() for state in enum]
    refusals = map(wording, REPLIES)
    for text in (*exits, *refusals, errors_of_records()):
        for route in re.findall("(?:GET|POST|PUT|PATCH|DELETE) /[\\w/{}.-]*[\\w}]", text):
            assert re.sub("{.*?}", "{track_id}", route) in ROUTES, route
        for command in re.findall("`mastertape (\\w+)", text):
            assert command in main.commands, command


def errors_of_records() -> str:
    refusals = (AlreadyHasRecordError("at://x"), MigrationNeededError("x"), BlobTooLargeError(1))
    return " ".join(map(str, refusals))


def test_the_page_of_states_is_current() -> None:
    assert (ROOT / "docs/states.md").read_text() == states_page.page()


def test_no_state_value_is_quoted_outside_its_enum() -> None:
    """An approximation: it knows values with an underscore only, since others ("live", "ready") are common words.

    It finds them where they are compared, assigned, or passed by name; not in messages, nor in lists that nothing compares.
    Members of other enums may have the same value.
    """
    homes: dict[str, set[Path]] = {}
    for enum in states_page.state_enums():
        for state in enum:
            if "_" in state.value:
                homes.setdefault(state.value, set()).add(Path(inspect.getfile(enum)))
    quoted = [
        f"{path.relative_to(ROOT)}:{line} {value!r}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for line, value in quoted_states(path.read_text(), homes)
        if path not in homes[value]
    ]
    assert quoted == []


def quoted_states(source: str, values: Iterable[str]) -> Iterator[tuple[int, str]]:
    tree = ast.parse(source)
    members = {id(line) for node in ast.walk(tree) if is_enum(node) for line in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        for operand in operands(node) if id(node) not in members else ():
            if isinstance(operand, ast.Constant) and operand.value in values:
                yield operand.lineno, str(operand.value)


def is_enum(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id in {"State", "StrEnum"} for base in node.bases
    )


def operands(node: ast.AST) -> Iterator[ast.AST | None]:
    """The expressions that a comparison, an assignment or a named argument takes, and the members of collections in them."""
    found: list[ast.expr | None] = []
    match node:
        case ast.Compare(left=left, comparators=others):
            found = [left, *others]
        case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.keyword(value=value):
            found = [value]
        case ast.Dict(values=values):
            found = [*values]
    for each in found:
        match each:
            case ast.Set(elts=members) | ast.Tuple(elts=members) | ast.List(elts=members):
                yield from members
            case _:
                yield each
