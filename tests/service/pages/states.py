"""The state machines as the page docs/states.md: `python -m tests.service.pages.states > docs/states.md`."""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from importlib import import_module
from pkgutil import walk_packages
from typing import Final

from eventstore.states import State, Transition

PACKAGES: Final = (
    "aggregates",
    "eventstore",
    "projections",
    "storage",
    "identity",
    "outbox",
    "replay",
    "application",
    "api",
    "service",
)
HEAD: Final = """\
# States

Every state as it is stored or shown, and below it the transitions that the code makes: `[*]` is the beginning or the end of a row,
`any` stands for every other state. Where people see a state, `exit` says who ends it, and how: a generated test
(`tests/simulation/test_no_dead_ends.py`) takes these ways from every state that a track gets into.

<!-- generated from the enums in src/ by `python -m tests.service.pages.states`; a test checks that it is current -->
"""
CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
OTHERS_HEAD: Final = """
# Results and derived states

They have no transitions: they are the result of one step, or are computed from other states when they are read.
"""
ANY: Final = "any"
Machine = tuple[type[State], Sequence[Transition]]


@dataclass(frozen=True)
class Arrow:
    before: str
    after: str
    by: str


def page() -> str:
    found = list(machines())
    with_transitions = "".join(section(*each) for each in found if each[1])
    others = "".join(section(*each) for each in found if not each[1])
    return HEAD + with_transitions + (others and OTHERS_HEAD + others)


def machines() -> Iterator[Machine]:
    """Yield the state enums of all modules, each with those of its module's TRANSITIONS that are its own."""
    for package in PACKAGES:
        root = import_module(package)
        for found in sorted(walk_packages(root.__path__, f"{package}."), key=lambda each: each.name):
            module = import_module(found.name)
            transitions: Sequence[Transition] = getattr(module, "TRANSITIONS", ())
            for enum in vars(module).values():
                is_state = isinstance(enum, type) and issubclass(enum, State) and enum is not State
                if is_state and enum.__module__ == module.__name__:
                    yield enum, [each for each in transitions if isinstance(each.before or each.after, enum)]


def section(enum: type[State], transitions: Sequence[Transition]) -> str:
    """Return the section of one enum: a sentence, a table, and a diagram if it has transitions, with one arrow for a pair of nodes."""
    title = CAPITAL.sub(" ", enum.__name__).capitalize().replace("pds", "PDS").replace("Pds", "PDS")
    has_exits = any(state.exit for state in enum)
    titles = ["state", "meaning", *(["exit"] if has_exits else [])]
    rows = [[f"`{each.value}`", each.phrase, *([each.exit] if has_exits else [])] for each in enum]
    table = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n"
    table += "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    actors: dict[tuple[str, str], list[str]] = {}
    nodes = {_node(state) for state in enum}
    arrows: Sequence[Arrow] = [Arrow(_node(each.before), _node(each.after), each.by) for each in transitions]
    for each in _joined(_joined(arrows, "before", nodes), "after", nodes):
        actors.setdefault((each.before, each.after), []).append(each.by)
    lines = ""
    for (before, after), by in actors.items():
        label = ", or ".join(by).replace(":", ",").replace(";", ",")  # mermaid would end the label there
        lines += f"    {before} --> {after}: {label}\n"
    diagram = f"\n```mermaid\nstateDiagram-v2\n{lines}```\n" if lines else ""
    return f"\n## {title}\n\n{' '.join((inspect.getdoc(enum) or '').split())}\n\n{table}{diagram}"


def _joined(arrows: Sequence[Arrow], end: str, states: AbstractSet[str]) -> Sequence[Arrow]:
    """Make those from, or to, all other states for one reason one from, or to, ANY."""
    ends: dict[Arrow, set[str]] = {}
    common = [replace(each, **{end: ANY}) for each in arrows]
    for each, of in zip(arrows, common, strict=True):
        if getattr(each, end) in states:
            ends.setdefault(of, set()).add(getattr(each, end))
    joined = {
        of
        for of, all_ends in ends.items()
        if len(all_ends) > 1 and all_ends >= states - {of.before, of.after}
    }
    found = [
        of if of in joined and getattr(each, end) in states else each
        for each, of in zip(arrows, common, strict=True)
    ]
    return list(dict.fromkeys(found))


def _node(state: State | None) -> str:
    return "[*]" if state is None else "".join(each if each.isalnum() else "_" for each in state.value)


if __name__ == "__main__":
    sys.stdout.write(page())
