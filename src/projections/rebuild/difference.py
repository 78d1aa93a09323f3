"""Compares the live rows of a table with those that the log makes, and makes them equal.

Only rows that differ are written, and only their derived columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql.visitors import iterate

from eventstore.projection import ProjectedTable
from eventstore.sql.database import pages
from eventstore.streams.buckets import BUCKET


class DifferenceKind(StrEnum):
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


Scope = set[Any] | None
"""The subjects whose rows are compared, by the column `about` of the table; None for all."""
MAX_SUBJECTS: Final = 10_000
"""Where rows of more subjects differ, writing them takes longer than comparing the whole table again."""


def differences_of(
    connection: sa.Connection, table: ProjectedTable, scope: Scope = None
) -> Iterator[tuple[Any, Difference]]:
    """Yield each with its subject."""
    name, live, derived = table.live.name, table.live.c, table.scratch.c
    alone = (
        (DifferenceKind.MISSING, derived, _missing(table)),
        (DifferenceKind.SURPLUS, live, _surplus(table)),
    )
    for kind, of, which in alone if table.compared_by is None else ():
        key = [of[column] for column in table.key]
        query = sa.select(of[table.about].label(None), *key).where(which).order_by(*key)
        for subject, *values in _each_within(connection, query, scope, of[table.about]):
            yield subject, Difference(name, kind, dict(zip(table.key, values, strict=True)), {})
    key = [live[column] for column in table.key]
    pairs = [column for name in table.columns for column in (live[name], derived[name])]
    query = (
        sa.select(live[table.about].label(None), *key, *pairs)
        .where(_same_key(table), _changed(table))
        .order_by(*key)
    )
    if (by := table.compared_by) is not None:
        query = query.where(live[by] == derived[by])
    for subject, *values in _each_within(connection, query, scope, live[table.about]):
        rest = iter(values[len(key) :])
        changed = {
            name: (live, made)
            for name, live, made in zip(table.columns, rest, rest, strict=True)
            if live != made
        }
        yield (
            subject,
            Difference(name, DifferenceKind.CHANGED, dict(zip(table.key, values, strict=False)), changed),
        )


def subjects_that_differ(connection: sa.Connection, table: ProjectedTable) -> Scope:
    """Return the subjects whose rows differ; None if they are more than MAX_SUBJECTS."""
    live, made = table.live.c, table.scratch.c
    subject = sa.func.coalesce(made[table.about], live[table.about])
    either = table.live.join(table.scratch, _same_key(table), full=True)
    is_alone = (made[table.key[0]].is_(None), live[table.key[0]].is_(None))
    differs = sa.or_(*is_alone, *(_distinct(table, name) for name in table.columns))
    query = sa.select(subject).distinct().select_from(either).where(differs)
    found = set(connection.scalars(query.limit(MAX_SUBJECTS + 1)))
    return found if len(found) <= MAX_SUBJECTS else None


def remove_surplus(connection: sa.Connection, table: ProjectedTable, scope: Scope) -> int:
    """Delete the rows that the log does not make, and return their number; delete from child tables before their parents."""
    return sum(
        _rows_written(connection, sa.delete(table.live).where(_surplus(table), these))
        for these in _within(scope, table.live.c[table.about])
    )


def write_difference(connection: sa.Connection, table: ProjectedTable, scope: Scope) -> int:
    """Update and insert what differs, and return the number of rows; write parent tables before their children."""
    parts = _within(scope, table.scratch.c[table.about])
    names = [*table.key, *table.columns, BUCKET]
    statements: list[sa.Executable] = []
    if table.columns:
        for column, concerns in _passing_columns(table):
            passing = sa.or_(*(_distinct(table, name) for name in concerns))
            moved = (
                sa.update(table.live).where(_same_key(table), passing).values({column.key: _aside(column)})
            )
            for these in parts:
                connection.execute(moved.where(these))
        derived = {name: table.scratch.c[name] for name in table.columns}
        changed = sa.update(table.live).where(_same_key(table), _changed(table)).values(derived)
        statements += [changed.where(these) for these in parts]
    missing = sa.select(*(table.scratch.c[name] for name in names)).where(_missing(table))
    statements += [sa.insert(table.live).from_select(names, missing.where(these)) for these in parts]
    return sum(_rows_written(connection, each) for each in statements)


def _within(scope: Scope, about: sa.Column[Any]) -> Sequence[sa.ColumnElement[bool]]:
    """Return conditions, one for each statement, of which the rows of the scope meet one."""
    return [sa.true()] if scope is None else [about.in_(page) for page in pages(scope)]


def _each_within(
    connection: sa.Connection, query: sa.Select[*tuple[Any, ...]], scope: Scope, about: sa.Column[Any]
) -> Iterator[Any]:
    for these in _within(scope, about):
        yield from connection.execute(query.where(these))


def _rows_written(connection: sa.Connection, statement: sa.Executable) -> int:
    # Without the option SQLAlchemy forgets the count of an INSERT .. SELECT.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _missing(table: ProjectedTable) -> sa.ColumnElement[bool]:
    return ~sa.exists().where(_same_key(table)).correlate(table.scratch)


def _surplus(table: ProjectedTable) -> sa.ColumnElement[bool]:
    return ~sa.exists().where(_same_key(table)).correlate(table.live)


def _same_key(table: ProjectedTable) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.live.c[name] == table.scratch.c[name] for name in (*table.key, BUCKET)))


def _changed(table: ProjectedTable) -> sa.ColumnElement[bool]:
    return sa.or_(*(_distinct(table, name) for name in table.columns))


def _distinct(table: ProjectedTable, name: str) -> sa.ColumnElement[bool]:
    return table.live.c[name].is_distinct_from(table.scratch.c[name])


ASIDE: Final = "\N{SUBSTITUTE}"


def _passing_columns(table: ProjectedTable) -> Iterator[tuple[sa.Column[Any], list[str]]]:
    """Yield one column of each unique index, with the derived columns on which a row's place in the index depends."""
    live = table.live
    unique: list[tuple[list[sa.Column[Any]], Any]] = [
        (list(each.columns), None) for each in live.constraints if isinstance(each, sa.UniqueConstraint)
    ]
    unique += [
        (list(each.columns), each.dialect_options["postgresql"].get("where"))
        for each in live.indexes
        if each.unique
    ]
    for columns, condition in unique:
        of_condition = iterate(condition) if condition is not None else ()
        concerned = [*columns, *(part for part in of_condition if isinstance(part, sa.Column))]
        movable = [
            each
            for each in columns
            if each.key in table.columns and isinstance(each.type, sa.Text | sa.Integer)
        ]
        if movable:
            yield movable[-1], [each.key for each in concerned if each.key in table.columns]


def _aside(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return a value that no other row has: a number below zero, or a text with a first character that no text has."""
    if isinstance(column.type, sa.Integer):
        return -1 - column
    value: sa.ColumnElement[str] = sa.literal(ASIDE)
    for part in column.table.primary_key.columns:
        value = value + sa.cast(part, sa.Text) + " "
    return value
