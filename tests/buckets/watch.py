"""Checks every statement and transaction that the service gives to PostgreSQL in this process: one that reaches beyond a bucket has its reason in docs/scaling.md."""

import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, event

from eventstore.sql import prepared
from tests.buckets import units
from tests.buckets.checker import Reach, verdict

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = str(ROOT / "src") + "/"
TESTS: Final = str(ROOT / "tests")
DOCUMENT: Final = ROOT / "docs/scaling.md"
GENERAL: Final = tuple(f"eventstore/sql/{name}.py" for name in ("prepared", "database", "cluster"))
"""Every statement goes through these."""
BEYOND: Final = (Reach.LISTED, Reach.MANY, Reach.REFUSED)

VERBS: Final = frozenset({"select", "insert", "update", "delete", "with"})

_seen: Final[set[str]] = set()
_found: Final[list[str]] = []


def watch() -> None:
    execute = prepared.execute

    def through_the_door(connection: Any, sql: str, values: Any, **how: Any) -> Any:
        if connection.dialect.name == "postgresql":
            look(connection, sql, values if how.get("many") else [values])
        return execute(connection, sql, values, **how)

    prepared.execute = through_the_door
    event.listen(Engine, "before_cursor_execute", _listen)
    event.listen(Engine, "begin", _begin)
    event.listen(Engine, "commit", _end)
    event.listen(Engine, "rollback", lambda connection: _end(connection, commits=False))


def _listen(connection: Any, _cursor: Any, sql: str, values: Any, _context: Any, is_many: bool) -> None:
    if connection.dialect.name == "postgresql":
        look(connection, sql, values if is_many and isinstance(values, list) else [values])


def _begin(connection: Any) -> None:
    if connection.dialect.name == "postgresql":
        driver = connection.connection.driver_connection
        if not driver.autocommit:
            units.begin(driver, is_ours=bool(_places()))


def _end(connection: Any, *, commits: bool = True) -> None:
    if connection.dialect.name == "postgresql" and not connection.invalidated:
        _judge(units.end(connection.connection.driver_connection), commits=commits)


def _judge(unit: units.Unit | None, *, commits: bool = True) -> None:
    if unit is not None and commits and (problem := unit.beyond(allowed("## Transactions that write"))):
        _found.append(problem)


def look(connection: Any, sql: str, rows: Sequence[Any]) -> None:
    driver, verb = connection.connection.driver_connection, sql.split(maxsplit=1)[0].lower()
    if verb == "begin":
        units.begin(driver)
    elif verb == "commit":
        _judge(units.end(driver))
    elif verb in VERBS and (sql not in _seen or units.written(sql)[0]) and (places := _places()):
        look_at_statement(sql, places[0])
        _judge(units.note(driver, sql, rows, places))


def look_at_statement(sql: str, place: str) -> None:
    if sql in _seen:
        return
    _seen.add(sql)
    reach, rule, _ = verdict(sql)
    allowed_here = allowed("## Statements that reach") & {place, place.partition(" ")[0]}
    if (reach in BEYOND or rule) and not allowed_here:
        _found.append(f"{place} reaches {reach.value}{': ' + rule if rule else ''}\n{sql}")


def _places() -> tuple[str, ...]:
    """Return the files of ours, with their functions, that the statement is from, the innermost first; none where it is a test's."""
    places, frame = list[str](), sys._getframe(2)  # noqa: SLF001 - inspect.stack takes a hundred times as long
    while frame is not None:
        file = frame.f_code.co_filename
        # a comprehension has a frame of its own up to Python 3.11
        if file.startswith(SOURCE) and not file.endswith(GENERAL) and frame.f_code.co_name[0] != "<":
            places.append(f"{file.removeprefix(SOURCE)} {frame.f_code.co_name}")
        if file.startswith(TESTS) and "/buckets/watch.py" not in file and "statements.py" not in file:
            break
        frame = frame.f_back
    return tuple(places)


@cache
def allowed(section: str) -> frozenset[str]:
    """Return the files, and the functions of others, that a section of docs/scaling.md lists."""
    listed = DOCUMENT.read_text().partition(section)[2].partition("\n## ")[0]
    return frozenset(re.findall(r"`([\w/]+\.py[^`]*)`", listed))


def require_buckets() -> None:
    """Fail the test that runs for the statements that were found since the last one."""
    found, _found[:] = list(_found), []
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
