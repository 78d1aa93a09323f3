"""The state machines as the page docs/states.md: `python -m service.pages.states > docs/states.md`."""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
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

Every state as it is stored or shown, and the transitions that the code makes. `[*]` in a diagram is the beginning or the end
of a row. A state without transitions of its own is computed from others when it is read.

<!-- generated from the enums in src/ by `python -m service.pages.states`; a test checks that it is current -->
"""
TABLE: Final = """\
| state | meaning | entered by | left by |
|---|---|---|---|
"""
Machine = tuple[type[State], Sequence[Transition]]


def page() -> str:
    """Return the page."""
    return HEAD + "".join(section(enum, transitions) for enum, transitions in machines())


def machines() -> Iterator[Machine]:
    """Yield the state enums of all modules, each with those of its module's TRANSITIONS that are its own."""
    for package in PACKAGES:
        root = import_module(package)
        for found in sorted(walk_packages(root.__path__, f"{package}."), key=lambda each: each.name):
            module = import_module(found.name)
            transitions: Sequence[Transition] = getattr(module, "TRANSITIONS", ())
            for enum in vars(module).values():
                if _is_state_enum(enum) and enum.__module__ == module.__name__:
                    yield enum, [each for each in transitions if isinstance(each.before or each.after, enum)]


def section(enum: type[State], transitions: Sequence[Transition]) -> str:
    """Return the section of one machine: a sentence, a table and a diagram."""
    rows = "".join(_row(state, transitions) for state in enum)
    return f"\n## {_title(enum)}\n\n{_doc(enum)}\n\n{TABLE}{rows}" + _diagram(transitions)


def _is_state_enum(candidate: object) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, State) and candidate is not State


def _row(state: State, transitions: Sequence[Transition]) -> str:
    entered = _actors(each for each in transitions if each.after is state)
    left = _actors(each for each in transitions if each.before is state)
    return f"| `{state.value}` | {state.phrase} | {entered} | {left} |\n"


def _actors(transitions: Iterable[Transition]) -> str:
    return "; ".join(dict.fromkeys(each.by for each in transitions)) or "-"


def _diagram(transitions: Sequence[Transition]) -> str:
    if not transitions:
        return ""
    lines = "".join(
        f"    {_node(each.before)} --> {_node(each.after)}: {_label(each)}\n" for each in transitions
    )
    return f"\n```mermaid\nstateDiagram-v2\n{lines}```\n"


def _node(state: State | None) -> str:
    return "[*]" if state is None else re.sub(r"\W", "_", state.value)


def _label(transition: Transition) -> str:
    return re.sub("[:;]", ",", transition.by)  # mermaid would end the label there


def _title(enum: type[State]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", enum.__name__).capitalize()


def _doc(enum: type[State]) -> str:
    return " ".join((inspect.getdoc(enum) or "").split())


if __name__ == "__main__":
    sys.stdout.write(page())
