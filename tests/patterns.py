"""Every compiled pattern of `src`, how it is used, and texts on which a pattern that is not linear shows it."""

import ast
import inspect
import random
import re
import string
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import walk_packages
from re import _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

CHARACTERS: dict[str, str] = {}
TextOf = Callable[[int], str]
SRC = Path(__file__).parent.parent / "src"
METHODS = {"match", "fullmatch", "search", "sub", "subn", "findall", "finditer", "split"}
FILLERS = (
    " ", "\t \n", "a", "A-", "0", "0.", ".", ",", ", ", ":", ";", "; a=", "=", "%", "%4", "%41", '"', '\\"', '";', "\\", "/", "/.", "//", "@", "a@",
    "a.", "a ", "(", ")", ").", "<", "&", "&a", "`", "`a", "-", "_", "[", "{", "http://", "http://a.bc/ ", "www.", "\u0301\u0323", "\ufdfa", "é",
)  # fmt: skip
ENDS = ("", "!", "\n", " x", "a.")
WAYS = 12
"""How often the branches of a pattern are chosen anew."""
MAX_PIECE = 24
SEPARATORS = ("", " ", "-", ".", ",", ":", "/", "\n", "!")


@cache
def modules() -> list[ModuleType]:
    packages = [each.parent.name for each in SRC.glob("*/__init__.py")]
    names = [
        name
        for package in packages
        for name in (package, *(each.name for each in walk_packages([str(SRC / package)], f"{package}.")))
        if not name.endswith("__main__")
    ]
    return [import_module(name) for name in names]


@cache
def statements() -> list[tuple[ModuleType, ast.stmt, list[ast.AST]]]:
    """Return what stands at the top of each module, each with all nodes in it: to walk through them costs more than all that reads them."""
    return [
        (module, top, [*ast.walk(top)])
        for module in modules()
        for top in ast.parse(inspect.getsource(module) or "").body
    ]


@cache
def patterns() -> dict[re.Pattern[str], set[str]]:
    """Return the compiled patterns in modules and classes, each with the methods by which `src` uses it."""
    found: dict[re.Pattern[str], set[str]] = defaultdict(set)
    for module, _, nodes in statements():
        known = _patterns_in(module)
        for pattern in known.values():
            found[pattern] |= set()
        for node in nodes:
            match node:
                case ast.Attribute(ast.Name(name) | ast.Attribute(attr=name), method) if method in METHODS:
                    if name in known:
                        found[known[name]].add(method)
    return dict(found)


@cache
def _patterns_in(module: ModuleType) -> dict[str, re.Pattern[str]]:
    classes = (each for each in vars(module).values() if inspect.isclass(each))
    places = [module, *(each for each in classes if each.__module__ == module.__name__)]
    return {
        name: each for place in places for name, each in vars(place).items() if isinstance(each, re.Pattern)
    }


def made_elsewhere() -> list[str]:
    """Return the places that use `re` otherwise than by a constant: what is found above would not be all."""
    return [
        f"{module.__name__}:{node.lineno}"
        for module, top, nodes in statements()
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "re"
        if node.attr in METHODS
        or (node.attr == "compile" and isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef))
    ] + [
        f"{module.__name__}:{node.lineno}"
        for module, _, nodes in statements()
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "re"
    ]


def fillers(ends: Sequence[str] = ENDS) -> Iterator[TextOf]:
    """Yield makers of texts of a given length that repeat a few characters, whatever reads them."""
    for each in FILLERS:
        for end in ends:
            yield lambda length, each=each, end=end: _repeated(each, length - len(end)) + end


def hostile(pattern: re.Pattern[str]) -> Iterator[TextOf]:
    """Yield makers of texts of a given length that match the pattern for long, or again and again, and then do not."""
    yield from fillers()
    tree = _parser.parse(pattern.pattern, pattern.flags)
    pieces: dict[str, None] = {}
    for choices in product(range(WAYS), (False, True)):
        sample = _Sample(tree, *choices)
        if sample.text in pieces:
            continue
        pieces |= dict.fromkeys(sample.text[:length] for length in range(1, min(len(sample.text), MAX_PIECE)))
        pieces[sample.text] = None
        for (pumped, share), end in product(
            [(None, max(1, sample.unbounded)), *((each, 1) for each in range(sample.unbounded))], ENDS
        ):
            yield (
                lambda length, choices=choices, pumped=pumped, share=share, end=end: (
                    _Sample(tree, *choices, length // share, pumped).text[: length - len(end)] + end
                )
            )
    for piece, separator in product(pieces, SEPARATORS):
        yield lambda length, each=piece + separator: _repeated(each, length)


def _repeated(piece: str, length: int) -> str:
    return (piece * (length // max(1, len(piece)) + 1))[:length]


class _Sample:
    """A text that a parsed pattern matches; the `pumped` one of its unbounded repeats, or all of them, fill a length."""

    def __init__(self, tree: Any, way: int, most: bool, length: int = 1, pumped: int | None = None) -> None:
        self.unbounded = 0
        self._choose = random.Random(way)  # noqa: S311
        self._most = most
        self._length = length
        self._pumped = pumped
        self.text = self._of(tree)

    def _of(self, tree: Any) -> str:
        return "".join(self._one(str(kind), value) for kind, value in tree)

    def _one(self, kind: str, value: Any) -> str:  # noqa: PLR0911
        match kind:
            case "LITERAL":
                return chr(value)
            case "NOT_LITERAL" | "IN" | "ANY":
                return _character(kind, value)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, inner = value
                if most is _parser.MAXREPEAT:
                    return self._unbounded(inner, max(1, least))
                return self._of(inner) * (most if self._most else least)
            case "SUBPATTERN":
                return self._of(value[3])
            case "ATOMIC_GROUP":
                return self._of(value)
            case "BRANCH":
                return self._of(self._choose.choice(value[1]))
            case "AT" | "ASSERT" | "ASSERT_NOT":
                return ""
        raise AssertionError(f"teach tests/patterns.py {kind}")

    def _unbounded(self, inner: Any, least: int) -> str:
        this, self.unbounded = self.unbounded, self.unbounded + 1
        once = self._of(inner)
        return _repeated(once, self._length) if self._pumped in (None, this) else once * least


def _character(kind: str, value: Any) -> str:
    """Return one that the class has: a space, a letter, a digit if it can be."""
    if (known := CHARACTERS.get(f"{kind} {value}")) is not None:
        return known
    one = _parser.SubPattern(_parser.State(), [(getattr(_parser, kind), value)])
    matches = re._compiler.compile(one).fullmatch  # type: ignore[attr-defined]  # noqa: SLF001
    found = next(each for each in " a0." + string.printable + "é" if matches(each))
    return CHARACTERS.setdefault(f"{kind} {value}", found)
