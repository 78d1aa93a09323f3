"""Lets rows swap a unique value, though both databases check a unique index row by row.

Before the update, one column of the index takes a value in each such row that no other row has.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Integer, Table, Text, UniqueConstraint, cast, literal
from sqlalchemy.sql.visitors import iterate

ASIDE: Final = "\N{SUBSTITUTE}"


def passing_columns(table: Table, derived: Sequence[str]) -> Iterator[tuple[Column[Any], list[str]]]:
    """Yield one column of each unique index, with the derived columns on which a row's place in the index depends."""
    for columns, condition in _unique_indexes(table):
        movable = [
            column for column in columns if column.name in derived and isinstance(column.type, Text | Integer)
        ]
        if movable:
            yield movable[-1], [column.name for column in (*columns, *condition) if column.name in derived]


def aside(column: Column[Any]) -> ColumnElement[Any]:
    """Return a value that no other row has: a number below zero, or a text with a first character that no text has."""
    if isinstance(column.type, Integer):
        return -1 - column
    value: ColumnElement[str] = literal(ASIDE)
    for part in column.table.primary_key.columns:
        value = value + cast(part, Text) + " "
    return value


def _unique_indexes(table: Table) -> Iterator[tuple[list[Column[Any]], list[Column[Any]]]]:
    for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, UniqueConstraint):
            yield list(constraint.columns), []
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if index.unique:
            condition = index.dialect_options["postgresql"].get("where")
            parts = iterate(condition) if condition is not None else iter(())
            yield list(index.columns), [part for part in parts if isinstance(part, Column)]
