"""Says what a transaction of PostgreSQL wrote beyond one bucket, if it appended events or settled a delivery."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from sqlglot import exp, parse_one

from tests.buckets.checker import OF_ACCOUNTS, Reach, named_parameters, sources, verdict


class Write(NamedTuple):
    table: str
    places: tuple[str, ...]
    """The files of ours, with their functions, on the way to the statement."""
    reach: Reach
    buckets: frozenset[int]


@dataclass
class Unit:
    """What an open transaction has written so far."""

    writes: list[Write] = field(default_factory=list)
    is_bound: bool = False
    """Whether it appends events or settles a delivery."""
    is_ours: bool = True
    """False where a test has begun it, and has several accounts act in it."""

    def beyond(self, allowed: frozenset[str]) -> str | None:
        if not self.is_bound or not self.is_ours:
            return None
        bound = [each for each in self.writes if not _is_any(allowed, each.places)]
        lines = {
            f"{each.places[0]} writes {each.table}: {each.reach.value}"
            for each in bound
            if each.table not in OF_ACCOUNTS or each.reach is not Reach.ONE
        }
        if len({bucket for each in bound for bucket in each.buckets}) > 1:
            lines |= {f"{each.places[0]} writes {each.table} of {sorted(each.buckets)}" for each in bound}
        return "\n".join(["a unit writes beyond its bucket", *sorted(lines)]) if lines else None


DELIVERIES: Final = frozenset({"delivery_attempt", "mirror_target"})
_open: Final[WeakKeyDictionary[Any, Unit]] = WeakKeyDictionary()


def begin(driver: Any, *, is_ours: bool = True) -> None:
    _open[driver] = Unit(is_ours=is_ours)


def end(driver: Any) -> Unit | None:
    return _open.pop(driver, None)


def _is_any(allowed: frozenset[str], places: Iterable[str]) -> bool:
    return any(each in allowed or each.partition(" ")[0] in allowed for each in places)


def note(driver: Any, sql: str, rows: Sequence[Any], places: tuple[str, ...]) -> Unit | None:
    """Note what a statement writes, and return it if no transaction is open that it belongs to."""
    tables, is_bound = written(sql)
    if not tables:
        return None
    is_alone = driver.autocommit and driver not in _open
    unit = Unit() if is_alone else _open.setdefault(driver, Unit())
    reach, _, names = verdict(sql)
    buckets = frozenset(row[int(name) - 1] if name.isdigit() else row[name] for row in rows for name in names)
    unit.writes += [Write(table, places, reach, buckets) for table in tables]
    unit.is_bound |= is_bound
    return unit if is_alone else None


@cache
def written(sql: str) -> tuple[frozenset[str], bool]:
    """Return the tables whose rows the statement writes or locks, and whether it appends events or settles a delivery."""
    tables, is_bound = set[str](), False
    if {"insert", "update", "delete"} & {*sql.lower().split()}:
        statement = parse_one(named_parameters(sql), dialect="postgres")
        for each in statement.find_all(exp.Insert, exp.Update, exp.Delete):
            table = each.this.find(exp.Table).name
            tables.add(table)
            is_bound |= isinstance(each, exp.Insert) and table == "stored_event"
            is_bound |= isinstance(each, exp.Update) and table in DELIVERIES
        for select in statement.find_all(exp.Select):
            for lock in select.args.get("locks") or ():
                of = {each.name for each in lock.expressions}
                tables |= {each.name for each in sources(select) if not of or each.alias_or_name in of}
    return frozenset(tables - {""}), is_bound
