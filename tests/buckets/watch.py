"""Checks every statement that the service gives to PostgreSQL in this process: one that reaches beyond a bucket has its reason in docs/scaling.md."""

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, event

from eventstore import prepared
from tests.buckets.checker import Reach, verdict

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = str(ROOT / "src") + "/"
DOCUMENT: Final = ROOT / "docs/scaling.md"
GENERAL: Final = ("eventstore/prepared.py", "eventstore/database.py")
"""Every statement goes through these."""
BEYOND: Final = (Reach.LISTED, Reach.MANY, Reach.REFUSED)

_seen: Final[set[str]] = set()
_found: Final[list[str]] = []


def watch() -> None:
    execute = prepared.execute

    def through_the_door(connection: Any, sql: str, values: Any, **how: Any) -> Any:
        if connection.dialect.name == "postgresql":
            look(sql)
        return execute(connection, sql, values, **how)

    prepared.execute = through_the_door
    event.listen(Engine, "before_cursor_execute", _listen)


def _listen(connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
    if connection.dialect.name == "postgresql":
        look(sql)


def look(sql: str) -> None:
    if sql in _seen:
        return
    _seen.add(sql)
    place = _place()
    if place is None or sql.split(maxsplit=1)[0].lower() not in {
        "select",
        "insert",
        "update",
        "delete",
        "with",
    }:
        return
    reach, rule = verdict(sql)
    if reach in BEYOND and not allowed() & {place, place.partition(" ")[0]}:
        _found.append(f"{place} reaches {reach.value}{': ' + rule if rule else ''}\n{sql}")


def _place() -> str | None:
    """Return the file of ours, and the function, that the statement is from; None where it is a test's."""
    frame = sys._getframe(2)  # noqa: SLF001 - inspect.stack takes a hundred times as long
    while frame is not None:
        file = frame.f_code.co_filename
        # a comprehension has a frame of its own up to Python 3.11
        if file.startswith(SOURCE) and not file.endswith(GENERAL) and frame.f_code.co_name[0] != "<":
            return f"{file.removeprefix(SOURCE)} {frame.f_code.co_name}"
        if (
            file.startswith(str(ROOT / "tests"))
            and "/buckets/watch.py" not in file
            and "statements.py" not in file
        ):
            return None
        frame = frame.f_back
    return None


@cache
def allowed() -> frozenset[str]:
    """Return the files, and the functions of others, that docs/scaling.md lets reach beyond a bucket."""
    listed = DOCUMENT.read_text().partition("## Statements that reach")[2]
    return frozenset(re.findall(r"`([\w/]+\.py[^`]*)`", listed))


def require_buckets() -> None:
    """Fail the test that runs for the statements that were found since the last one."""
    found, _found[:] = list(_found), []
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
