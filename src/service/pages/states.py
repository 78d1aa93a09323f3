"""The state machines as the page docs/states.md: `python -m service.pages.states > docs/states.md`."""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

<!-- generated from the enums in src/ by `python -m service.pages.states`; a test checks that it is current -->
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
    """A transition between nodes of a diagram."""

    before: str
    after: str
    by: str


def page() -> str:
    """Return the page."""
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
    for each in _arrows(enum, transitions):
        actors.setdefault((each.before, each.after), []).append(each.by)
    lines = ""
    for (before, after), by in actors.items():
        label = ", or ".join(by).replace(":", ",").replace(";", ",")  # mermaid would end the label there
        lines += f"    {before} --> {after}: {label}\n"
    diagram = f"\n```mermaid\nstateDiagram-v2\n{lines}```\n" if lines else ""
    return f"\n## {title}\n\n{' '.join((inspect.getdoc(enum) or '').split())}\n\n{table}{diagram}"


def _arrows(enum: type[State], transitions: Sequence[Transition]) -> Iterator[Arrow]:
    """Yield the transitions; those from, or to, all other states for one reason become one from, or to, ANY."""
    arrows = list(_joined(enum, transitions))
    afters: dict[tuple[str, str], set[str]] = {}
    for each in arrows:
        afters.setdefault((each.before, each.by), set()).add(each.after)
    nodes = {_node(state) for state in enum}
    for before, by in dict.fromkeys((each.before, each.by) for each in arrows):
        reached = afters[before, by]
        is_common = len(reached) > 1 and reached >= nodes - {before}
        for after in (
            [ANY] if is_common else [each.after for each in arrows if (each.before, each.by) == (before, by)]
        ):
            yield Arrow(before, after, by)


def _joined(enum: type[State], transitions: Sequence[Transition]) -> Iterator[Arrow]:
    befores: dict[tuple[State | None, str], set[State | None]] = {}
    for each in transitions:
        befores.setdefault((each.after, each.by), set()).add(each.before)
    for (after, by), states in befores.items():
        is_common = len(states) > 1 and states >= set(enum) - {after}
        left = states - (set(enum) - {after}) if is_common else states
        for before in (None, *enum):
            if before in left:
                yield Arrow(_node(before), _node(after), by)
        if is_common:
            yield Arrow(ANY, _node(after), by)


def _node(state: State | None) -> str:
    return "[*]" if state is None else "".join(each if each.isalnum() else "_" for each in state.value)


if __name__ == "__main__":
    sys.stdout.write(page())
