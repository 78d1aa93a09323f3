"""Says of a statement of PostgreSQL which buckets it reads and writes, and what a cluster that is divided by buckets would refuse."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

from sqlglot import exp, parse_one

from eventstore.streams.buckets import BUCKET
from service.schema.tables import metadata

OF_ACCOUNTS: Final = frozenset(name for name, table in metadata.tables.items() if BUCKET in table.c)
DIVIDED: Final = "TEST_PARTS" in os.environ
CLOCK: Final = "the clock of the machine that has the rows"
_CLOCK: Final = re.compile(r"\b(clock_timestamp|now)\(|current_timestamp", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"\$(\d+)|%\((\w+)\)s|%s")


class Reach(StrEnum):
    NOWHERE = "no row of an account"
    ONE = "one bucket"
    PART = "one part"
    LISTED = "the buckets of a list"
    MANY = "all buckets"
    REFUSED = "refused"


class Verdict(NamedTuple):
    reach: Reach
    rule: str = ""
    buckets: frozenset[str] = frozenset()
    """The parameters that are buckets."""


@dataclass(eq=False)
class _Rows:
    """The rows of a table of accounts in one place of a statement; those of one bucket with others have the same root."""

    table: str
    parent: "_Rows | None" = None
    reach: Reach = Reach.MANY

    def root(self) -> "_Rows":
        return self if self.parent is None else self.parent.root()

    def join(self, other: "_Rows") -> None:
        mine, theirs = self.root(), other.root()
        if mine is not theirs:
            theirs.parent = mine
            mine.reach = min(mine.reach, theirs.reach, key=_ORDER.index)

    def narrow(self, reach: Reach) -> None:
        root = self.root()
        root.reach = min(root.reach, reach, key=_ORDER.index)


_ORDER: Final = (Reach.ONE, Reach.PART, Reach.LISTED, Reach.MANY)
_PLACED: Final = (Reach.ONE, Reach.PART)
"""At one place of a cluster."""
Scope = dict[str, _Rows | None]
"""By the name of a source: its rows, None where they are of no account, or of several."""


def named_parameters(sql: str) -> str:
    return _PARAMETER.sub(lambda found: f":p{found[1] or found[2] or ''}", sql).replace("%%", "%")


@cache
def verdict(sql: str) -> Verdict:
    check = _Check()
    reach, rule, _ = check.of(parse_one(named_parameters(sql), dialect="postgres"))
    if reach is not Reach.NOWHERE and _CLOCK.search(sql):
        rule = rule or CLOCK
    return Verdict(reach, rule, frozenset(check.buckets))


@dataclass
class _Check:
    rows: list[_Rows] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    queries: dict[str, _Rows | None] = field(default_factory=dict)
    """The rows whose bucket each query of WITH has as a column."""
    buckets: set[str] = field(default_factory=set)

    def of(self, statement: exp.Expression) -> Verdict:
        self._statement(statement, ())
        if self.refused:
            return Verdict(Reach.REFUSED, self.refused[0])
        reaches = {each.root().reach for each in self.rows}
        if not reaches:
            return Verdict(Reach.NOWHERE)
        return Verdict(max(reaches, key=_ORDER.index))

    def _statement(self, statement: exp.Expression, outer: tuple[Scope, ...]) -> _Rows | None:
        """Read a statement, and return the rows whose bucket is one of its columns."""
        if (queries := statement.args.get("with_")) is not None:
            for query in queries.expressions:
                self.queries[query.alias] = self._statement(query.this, outer)
        if isinstance(statement, exp.SetOperation):
            return self._union(statement, outer)
        if isinstance(statement, exp.Subquery):
            return self._statement(statement.this, outer)
        if isinstance(statement, exp.Insert):
            self._insert(statement, outer)
            return None
        return self._select(statement, outer)

    def _union(self, statement: exp.SetOperation, outer: tuple[Scope, ...]) -> _Rows | None:
        first, second = (self._statement(side, outer) for side in (statement.this, statement.expression))
        if first is not None and second is not None:
            first.join(second)
        return first

    def _select(self, statement: exp.Expression, outer: tuple[Scope, ...]) -> _Rows | None:
        """Read a SELECT, UPDATE or DELETE."""
        scope: Scope = {}
        inner = (*outer, scope)
        for source in sources(statement):
            self._source(source, scope, outer)
        conditions = [join.args["on"] for join in statement.args.get("joins") or () if join.args.get("on")]
        conditions += [statement.args["where"].this] if statement.args.get("where") else []
        for condition in conditions:
            self._condition(condition, inner)
        self._rules(statement, scope, outer)
        read = {"with_", "from_", "joins", "where", "this"}
        for name, part in statement.args.items():
            if name not in read:
                self._sub_selects(part, inner, in_having=name == "having")
        columns = (each for each in statement.expressions if each.alias_or_name == BUCKET)
        return next((_rows_of(each, inner) for each in columns), None)

    def _source(self, source: exp.Expression, scope: Scope, outer: tuple[Scope, ...]) -> None:
        if isinstance(source, exp.Table):
            name = source.name
            if name in self.queries:
                scope[source.alias_or_name] = self.queries[name]
            elif name in OF_ACCOUNTS:
                self.rows.append(rows := _Rows(name))
                scope[source.alias_or_name] = rows
            else:
                scope[source.alias_or_name] = None
        elif isinstance(source, exp.Subquery):
            scope[source.alias_or_name] = self._statement(source.this, outer)

    def _insert(self, statement: exp.Insert, outer: tuple[Scope, ...]) -> None:
        into, values = statement.this, statement.expression
        table, columns = into.find(exp.Table).name, [each.name for each in into.expressions]
        read = self._statement(values, outer) if isinstance(values, exp.Query) else None
        if table not in OF_ACCOUNTS:
            return
        self.rows.append(rows := _Rows(table))
        if BUCKET not in columns:
            self.refused.append("an INSERT without the bucket")
            return
        if read is not None:
            rows.join(read)
        elif isinstance(values, exp.Values):
            given = [row.expressions[columns.index(BUCKET)] for row in values.expressions]
            if all(map(self._is_given, given)):
                rows.narrow(Reach.ONE if len(given) == 1 else Reach.LISTED)
        conflict = statement.args.get("conflict")
        key = [each.name for each in conflict.args.get("conflict_keys") or ()] if conflict else []
        if key and BUCKET not in key:
            self.refused.append("ON CONFLICT without the bucket")

    def _condition(self, condition: exp.Expression, scopes: tuple[Scope, ...]) -> None:
        """Read what must hold: of what is beside OR or NOT, the sub-selects alone."""
        if isinstance(condition, exp.And | exp.Paren):
            for part in condition.iter_expressions():
                self._condition(part, scopes)
            return
        if isinstance(condition, exp.EQ):
            left, right = (_rows_of(side, scopes) for side in (condition.this, condition.expression))
            if left is not None and right is not None:
                left.join(right)
            for rows, other in ((left, condition.expression), (right, condition.this)):
                if rows is not None and self._is_given(other):
                    rows.narrow(Reach.ONE)
                elif rows is not None and isinstance(other, exp.Any):
                    is_shard = other.find(exp.Literal) is not None  # as `in_part` has it
                    rows.narrow(Reach.PART if is_shard else Reach.LISTED)
        elif isinstance(condition, exp.Between | exp.Is | exp.In):
            rows = _rows_of(condition.this, scopes)
            if rows is not None and (reach := _reach_of(condition)) is not None:
                rows.narrow(reach)
        self._sub_selects(condition, scopes)

    def _sub_selects(self, tree: Any, scopes: tuple[Scope, ...], *, in_having: bool = False) -> None:
        for each in tree if isinstance(tree, list) else [tree]:
            for select in _outermost_selects(each) if isinstance(each, exp.Expression) else ():
                before = len(self.rows)
                self._statement(select, scopes)
                if in_having and self.rows[before:] and _names_outer(select, scopes):
                    self.refused.append("a correlated sub-select in HAVING")

    def _rules(self, statement: exp.Expression, scope: Scope, outer: tuple[Scope, ...]) -> None:
        roots = {each.root() for each in scope.values() if each is not None}
        if len(roots) > 1 and not all(each.reach in _PLACED for each in roots):
            self.refused.append("a join that does not name the bucket")
        if statement.args.get("locks") and any(each.reach not in _PLACED for each in roots):
            self.refused.append("row locks in more than one bucket")
        changed = [each.this.name for each in statement.expressions if isinstance(each, exp.EQ)]
        if isinstance(statement, exp.Update) and BUCKET in changed:
            self.refused.append("an UPDATE of the bucket")
        if outer and _names_outer(statement, outer):
            around = {each.root() for each_scope in outer for each in each_scope.values() if each is not None}
            if around and any(each not in around and each.reach is not Reach.ONE for each in roots):
                self.refused.append("a correlated sub-select that does not name the bucket")

    def _is_given(self, value: exp.Expression) -> bool:
        if isinstance(value, exp.Cast | exp.Paren):
            return self._is_given(value.this)
        if isinstance(value, exp.Placeholder):
            self.buckets.add(value.name.removeprefix("p"))
        return isinstance(value, exp.Literal | exp.Placeholder | exp.Parameter)


def _reach_of(condition: exp.Between | exp.Is | exp.In) -> Reach | None:
    if isinstance(condition, exp.Between):  # in constants, as `in_part` has it
        return Reach.PART if isinstance(condition.args["low"], exp.Literal) else None
    if condition.args.get("negate"):  # what it says of the only part
        return None if DIVIDED else Reach.PART
    listed = len(condition.expressions)  # none of a sub-select, or of IS NULL
    return (None, Reach.ONE)[listed] if listed < 2 else Reach.LISTED


def sources(statement: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(statement, exp.Update | exp.Delete):
        yield statement.this
    for name in ("from_", "using"):
        found = statement.args.get(name)
        if isinstance(found, exp.From):
            yield found.this
            yield from (join.this for join in found.this.args.get("joins") or ())
        elif found:
            yield from found
    yield from (join.this for join in statement.args.get("joins") or ())


def _outermost_selects(tree: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(tree, exp.Query):
        yield tree
        return
    for each in tree.iter_expressions():
        yield from _outermost_selects(each)


def _rows_of(column: exp.Expression, scopes: Iterable[Scope]) -> _Rows | None:
    """Return the rows whose bucket this expression is."""
    column = column.unalias()
    if not isinstance(column, exp.Column) or column.name != BUCKET:
        return None
    nearest = list(scopes)[::-1]
    if not column.table:
        only = [each for each in nearest[0].values() if each is not None]
        return only[0] if len(only) == 1 else None
    return next((scope[column.table] for scope in nearest if column.table in scope), None)


def _names_outer(select: exp.Expression, outer: Iterable[Scope]) -> bool:
    names = {name for scope in outer for name, rows in scope.items() if rows is not None}
    names -= {table.alias_or_name for table in select.find_all(exp.Table)}
    return any(column.table in names for column in select.find_all(exp.Column))
