"""How rows that swap a unique value pass each other.

Both databases check a unique index row by row, not at the end of a statement. Such rows must therefore step
aside first: one column of the index takes a value that no row has.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Integer, Table, Text, UniqueConstraint, cast, literal
from sqlalchemy.sql.visitors import iterate

ASIDE: Final = "\N{SUBSTITUTE}"


def passing_columns(table: Table, derived: Sequence[str]) -> Iterator[tuple[Column[Any], list[str]]]:
    """Yield one column of each unique index, with all derived columns by which a row enters or leaves it."""
    for columns, condition in _unique_indexes(table):
        movable = [
            column for column in columns if column.name in derived and isinstance(column.type, Text | Integer)
        ]
        if movable:
            yield movable[-1], [column.name for column in (*columns, *condition) if column.name in derived]


def aside(column: Column[Any]) -> ColumnElement[Any]:
    """Give each row a value of its own: a number below zero, or a text that begins unlike any."""
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
