"""The state machines as the page docs/states.md: `python -m tests.service.pages.states > docs/states.md`."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

from aggregates.states import State

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
DIAGRAMS: Final = Path(__file__).with_name("transitions.txt")
"""The name of an enum, and then its transitions as in the page; names are divided by an empty line."""


def page() -> str:
    drawn, enums = transitions(), list(state_enums())
    with_transitions = "".join(
        section(each, drawn[each.__name__]) for each in enums if each.__name__ in drawn
    )
    others = "".join(section(each) for each in enums if each.__name__ not in drawn)
    return HEAD + with_transitions + OTHERS_HEAD + others


def transitions() -> Mapping[str, str]:
    """Return the lines of each diagram by the name of its enum."""
    parts = (part.partition("\n") for part in DIAGRAMS.read_text().split("\n\n"))
    return {name: lines.strip("\n") + "\n" for name, _, lines in parts}


def state_enums() -> Iterator[type[State]]:
    for package in PACKAGES:
        root = import_module(package)
        for found in sorted(walk_packages(root.__path__, f"{package}."), key=lambda each: each.name):
            module = import_module(found.name)
            for enum in vars(module).values():
                is_state = isinstance(enum, type) and issubclass(enum, State) and enum is not State
                if is_state and enum.__module__ == module.__name__:
                    yield enum


def section(enum: type[State], lines: str = "") -> str:
    """Return the section of one enum: a sentence, a table, and a diagram if it has transitions."""
    title = CAPITAL.sub(" ", enum.__name__).capitalize().replace("pds", "PDS").replace("Pds", "PDS")
    has_exits = any(state.exit for state in enum)
    titles = ["state", "meaning", *(["exit"] if has_exits else [])]
    rows = [[f"`{each.value}`", each.phrase, *([each.exit] if has_exits else [])] for each in enum]
    table = f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n"
    table += "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    diagram = f"\n```mermaid\nstateDiagram-v2\n{lines}```\n" if lines else ""
    return f"\n## {title}\n\n{' '.join((inspect.getdoc(enum) or '').split())}\n\n{table}{diagram}"


if __name__ == "__main__":
    sys.stdout.write(page())
