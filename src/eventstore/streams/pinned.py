"""Names the bucket in each sub-select that a statement compares with an outer row whose bucket it names.

Citus chooses the node of a statement by the constants beside each of its tables, and refuses one whose sub-select has none.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList, ColumnClause, Grouping

from eventstore.streams.buckets import BUCKET

Pins = Mapping[Any, Any]
"""What the bucket of a table is equal to: a parameter, or any of a list."""


@compiles(sa.Select, "postgresql")
def _name_buckets(select: Any, compiler: Any, **options: Any) -> Any:
    outer: Pins = {}
    for entry in compiler.stack:
        outer = _pins(entry["selectable"], _without(outer, entry["asfrom_froms"]))
    outer = _without(outer, _sources(select, compiler, options))
    if outer:
        said = {(table, pin) for table, pin in _equal_buckets(select) if not _is_bucket(pin)}
        more = _pins(select, outer).items() - {*outer.items(), *said}
        for table, pin in more:
            bucket, is_list = table.c[BUCKET], getattr(pin, "expanding", False)
            select = select.where(bucket.in_(pin) if is_list else bucket == pin)
    return compiler.visit_select(select, **options)


def _sources(select: Any, compiler: Any, options: Mapping[str, Any]) -> Collection[Any]:
    """Return the tables that the select reads itself, other than those of the statement around it."""
    around: Any = compiler.stack[-1] if compiler.stack else {"correlate_froms": set(), "asfrom_froms": set()}
    correlate, implicit = around["correlate_froms"], around["asfrom_froms"]
    if options.get("asfrom", False) and not options.get("lateral", False):
        correlate, implicit = correlate.difference(implicit), ()
    state = select._compile_state_factory(select, compiler)  # noqa: SLF001 - there is no public way
    froms = state._get_display_froms(explicit_correlate_froms=correlate, implicit_correlate_froms=implicit)  # noqa: SLF001
    return {each for source in froms for each in source._from_objects}  # noqa: SLF001


def _without(pins: Pins, tables: Collection[Any]) -> Pins:
    return {table: pin for table, pin in pins.items() if table not in tables}


def _pins(statement: Any, outer: Pins) -> Pins:
    """Return the pins of the statement's tables, and those that hold around it."""
    pins, pairs = dict(outer), list[tuple[Any, Any]]()
    for table, other in _equal_buckets(statement):
        if _is_bucket(other):
            pairs += [(table, other.table), (other.table, table)]
        else:
            pins[table] = other
    while found := {table: pins[other] for table, other in pairs if other in pins and table not in pins}:
        pins.update(found)
    return pins


def _equal_buckets(statement: Any) -> Iterator[tuple[Any, Any]]:
    """Find what the bucket of a table must be equal to: what is beside OR or NOT need not hold."""
    conditions = [getattr(statement, "whereclause", None)]
    sources = _froms(statement) if isinstance(statement, sa.Select) else []
    while sources:
        if isinstance(source := sources.pop(), sa.Join):
            sources.append(source.left)
            if not source.isouter:
                sources.append(source.right)
                conditions.append(source.onclause)
    while conditions:
        condition = conditions.pop()
        if isinstance(condition, Grouping):
            conditions.append(condition.element)
        elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
            conditions += condition.clauses
        elif isinstance(condition, sa.BinaryExpression) and _is_equality(condition):
            if _is_bucket(condition.left):
                yield condition.left.table, condition.right
            elif _is_bucket(condition.right):
                yield condition.right.table, condition.left


def _froms(select: Any) -> list[Any]:
    """Do what `get_final_froms` does, which compiles the select, and all that is inside, each time."""
    return list(select._compile_state_factory(select, None)._get_display_froms())  # noqa: SLF001


def _is_equality(condition: sa.BinaryExpression[Any]) -> bool:
    is_listed = condition.operator is operators.in_op and isinstance(condition.right, sa.BindParameter)
    return condition.operator is operators.eq or is_listed


def _is_bucket(side: Any) -> bool:
    return isinstance(side, ColumnClause) and side.key == BUCKET and side.table is not None
