"""Compares the live rows of a table with those that the log makes, and makes them equal.

Only rows that differ are written, and only their derived columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    and_,
    cast,
    delete,
    exists,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.visitors import iterate

from eventstore.database import pages
from eventstore.projection import ProjectedTable


class DifferenceKind(StrEnum):
    """How a live row differs."""

    MISSING = "missing"
    SURPLUS = "surplus"
    CHANGED = "changed"


@dataclass(frozen=True)
class Difference:
    """A live row that the log would not make; `columns` has (live, derived) values by name for a changed row."""

    table: str
    kind: DifferenceKind
    key: dict[str, Any]
    columns: dict[str, tuple[Any, Any]]


def differences_of(connection: Connection, table: ProjectedTable) -> Iterator[Difference]:
    """Yield each row that differs, by kind and key."""
    name, key = table.live.name, [table.live.c[column] for column in table.key]
    derived_key = [table.scratch.c[column] for column in table.key]
    alone = (
        (DifferenceKind.MISSING, derived_key, _missing(table)),
        (DifferenceKind.SURPLUS, key, _surplus(table)),
    )
    for kind, of, which in alone if table.compared_by is None else ():
        for row in connection.execute(select(*of).where(which).order_by(*of)).mappings():
            yield Difference(name, kind, dict(row), {})
    pairs = [
        (table.live.c[column], table.scratch.c[column], _distinct(table, column)) for column in table.columns
    ]
    columns = [column for pair in pairs for column in pair]
    query = select(*key, *columns).where(_same_key(table), _changed(table)).order_by(*key)
    if (by := table.compared_by) is not None:
        query = query.where(table.live.c[by] == table.scratch.c[by])
    for values in connection.execute(query):
        plain, rest = values[: len(key)], iter(values[len(key) :])
        triples = zip(table.columns, zip(rest, rest, rest, strict=True), strict=True)
        changed = {column: (live, derived) for column, (live, derived, differs) in triples if differs}
        yield Difference(name, DifferenceKind.CHANGED, dict(zip(table.key, plain, strict=True)), changed)


Scope = frozenset[Any] | None
"""The subjects whose rows are compared, by the column `about` of the table; None for all."""
MAX_SUBJECTS: Final = 10_000
"""Where rows of more subjects differ, writing them takes longer than comparing the whole table again."""


def subjects_that_differ(connection: Connection, table: ProjectedTable, scope: Scope) -> Scope:
    """Return the subjects whose rows differ; None if they are more than MAX_SUBJECTS."""
    live, made = table.live.c[table.about], table.scratch.c[table.about]
    found = set[Any]()
    for part in _parts(scope):
        queries = [
            select(made).where(_missing(table), _within(part, made)),
            select(live).where(_surplus(table), _within(part, live)),
        ]
        if table.columns:
            queries.append(select(made).where(_same_key(table), _changed(table), _within(part, made)))
        for query in queries:
            found.update(connection.scalars(query.limit(MAX_SUBJECTS + 1)))
            if len(found) > MAX_SUBJECTS:
                return None
    return frozenset(found)


def remove_surplus(connection: Connection, table: ProjectedTable, scope: Scope = None) -> int:
    """Delete the rows that the log does not make, and return their number; delete from child tables before their parents."""
    about = table.live.c[table.about]
    surplus = [delete(table.live).where(_surplus(table), _within(part, about)) for part in _parts(scope)]
    return sum(_rows_written(connection, each) for each in surplus)


def write_difference(connection: Connection, table: ProjectedTable, scope: Scope = None) -> int:
    """Update and insert what differs, and return the number of rows; write parent tables before their children."""
    names, about, parts = [*table.key, *table.columns], table.scratch.c[table.about], _parts(scope)
    missing = [
        insert(table.live).from_select(
            names,
            select(*(table.scratch.c[name] for name in names)).where(_missing(table), _within(part, about)),
        )
        for part in parts
    ]
    changed: list[Executable] = []
    if table.columns:
        for column, concerns in passing_columns(table.live, table.columns):
            passing = or_(*(_distinct(table, name) for name in concerns))
            for part in parts:
                moved = update(table.live).where(_same_key(table), passing, _within(part, about))
                connection.execute(moved.values({column.key: aside(column)}))
        derived = {column: table.scratch.c[column] for column in table.columns}
        same_key = update(table.live).where(_same_key(table), _changed(table)).values(derived)
        changed = [same_key.where(_within(part, about)) for part in parts]
    return sum(_rows_written(connection, each) for each in (*changed, *missing))


def _parts(scope: Scope) -> list[list[Any] | None]:
    return [None] if scope is None else list(pages(scope))


def _within(part: list[Any] | None, about: Column[Any]) -> ColumnElement[bool]:
    return true() if part is None else about.in_(part)


def _rows_written(connection: Connection, statement: Executable) -> int:
    # Without the option SQLAlchemy forgets the count of an INSERT .. SELECT.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _missing(table: ProjectedTable) -> ColumnElement[bool]:
    return ~exists().where(_same_key(table)).correlate(table.scratch)


def _surplus(table: ProjectedTable) -> ColumnElement[bool]:
    return ~exists().where(_same_key(table)).correlate(table.live)


def _same_key(table: ProjectedTable) -> ColumnElement[bool]:
    return and_(*(table.live.c[name] == table.scratch.c[name] for name in table.key))


def _changed(table: ProjectedTable) -> ColumnElement[bool]:
    return or_(*(_distinct(table, name) for name in table.columns))


def _distinct(table: ProjectedTable, name: str) -> ColumnElement[bool]:
    return table.live.c[name].is_distinct_from(table.scratch.c[name])


ASIDE: Final = "\N{SUBSTITUTE}"


def passing_columns(table: Table, derived: Sequence[str]) -> Iterator[tuple[Column[Any], list[str]]]:
    """Yield one column of each unique index, with the derived columns on which a row's place in the index depends."""
    constraints = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    unique: list[tuple[list[Column[Any]], list[Column[Any]]]] = [
        (list(each.columns), []) for each in sorted(constraints, key=lambda each: str(each.name))
    ]
    for index in sorted((each for each in table.indexes if each.unique), key=lambda each: str(each.name)):
        condition = index.dialect_options["postgresql"].get("where")
        parts = iterate(condition) if condition is not None else iter(())
        unique.append((list(index.columns), [part for part in parts if isinstance(part, Column)]))
    for columns, concerned in unique:
        movable = [
            column for column in columns if column.key in derived and isinstance(column.type, Text | Integer)
        ]
        if movable:
            yield movable[-1], [column.key for column in (*columns, *concerned) if column.key in derived]


def aside(column: Column[Any]) -> ColumnElement[Any]:
    """Return a value that no other row has: a number below zero, or a text with a first character that no text has."""
    if isinstance(column.type, Integer):
        return -1 - column
    value: ColumnElement[str] = literal(ASIDE)
    for part in column.table.primary_key.columns:
        value = value + cast(part, Text) + " "
    return value
