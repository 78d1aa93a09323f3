"""What a read model must be: the same code applies it inside the append and rebuilds it from the log, or a unit refuses to write."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Final, Protocol, runtime_checkable

import sqlalchemy as sa
from sqlalchemy.sql.dml import Insert

from eventstore.change import Change
from eventstore.errors import OutdatedProjectionError
from eventstore.sql.prepared import Assumption, Prepared, Query
from eventstore.sql.schema import projection_state, stored_event
from eventstore.streams.append import insert_of, key_of, upsert
from eventstore.streams.buckets import BUCKET, Did, did_column, given

Into = Callable[[sa.Table], sa.Table]
"""Where a projection writes the rows of a table: the table itself, or its scratch table in a rebuild."""


@dataclass(frozen=True)
class ProjectedTable:
    """A table of a projection, and the temporary table that a rebuild fills: its key and derived columns.

    `derived` names the columns that `apply` writes, all by default; the others hold observations, and no rebuild
    touches them. Of a cache, whose rows may be missing, those alone are compared that agree in the column `compared_by`.
    `about` names the column of the subject's id, the first of the key by default; of the event's position, where a row is one event's.
    """

    live: sa.Table
    derived: tuple[str, ...] | None = None
    compared_by: str | None = None
    about: str = ""
    scratch: sa.Table = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", self.about or self.key[0])
        names = {*self.key, *self.columns}
        columns = [
            sa.Column(
                c.name,
                c.type,
                key=c.key,
                primary_key=c.primary_key or c.key == BUCKET,
                nullable=c.nullable,
                default=given(did_column(self.live)) if c.key == BUCKET else None,
                autoincrement=False,
                index=c.key == self.about and c.key != self.key[0],
            )
            for c in self.live.columns
            if c.key in names or c.key == BUCKET
        ]
        scratch = sa.Table(f"{self.live.name}_scratch", sa.MetaData(), *columns, prefixes=["TEMPORARY"])
        object.__setattr__(self, "scratch", scratch)

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(column.key for column in self.live.primary_key.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The derived columns, without the key, and without the bucket, which follows from the DID."""
        derived = self.derived if self.derived is not None else tuple(self.live.columns.keys())
        return tuple(name for name in derived if name not in {*self.key, BUCKET})


class Projection(Protocol):
    """A read model: its rows are a pure function of the changes, whatever the size of the pages they come in."""

    @property
    def name(self) -> str:
        """The name on the command line."""

    @property
    def fingerprint(self) -> str:
        """Differs between versions of the code that would make different rows of the same events."""

    @property
    def tables(self) -> tuple[ProjectedTable, ...]:
        """The tables that `apply` writes."""

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        """Write the rows that the changes make; no reading, no clock, no network, no transaction of its own."""


@dataclass(frozen=True, eq=False)
class CarriedTable:
    """A table that jobs write: its rows are made of the read models of other accounts, or are counts of such rows."""

    table: ProjectedTable
    fill: Callable[[sa.Connection, sa.Table], None]
    """Writes every row to the live table or its scratch table, which is empty."""
    job_of: Callable[[Mapping[str, Any]], str] | None = None
    """Names by a row's key the jobs that may still change the row: the beginning of their subjects. None for counts of other rows."""


@runtime_checkable
class Carried(Projection, Protocol):
    """A read model of which jobs make rows of other accounts."""

    @property
    def carried(self) -> Sequence[CarriedTable]:
        """The tables with these rows, each after those that it is made of."""

    def carry_all(self, connection: sa.Connection) -> None:
        """Make the rows of these tables anew."""


def carried_by(projections: Iterable[Projection]) -> Sequence[CarriedTable]:
    return [*dict.fromkeys(each for one in projections if isinstance(one, Carried) for each in one.carried)]


def refill(connection: sa.Connection, carried: Sequence[CarriedTable]) -> None:
    """Make all rows of these tables anew; jobs that write them wait meanwhile."""
    tables = [each.table.live for each in carried]
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in tables)
        connection.execute(sa.text(f"lock table {names} in exclusive mode"))
    for table in tables:
        connection.execute(sa.delete(table))
    for each in carried:
        each.fill(connection, each.table.live)


@runtime_checkable
class Early(Projection, Protocol):
    """A read model some of whose rows are written by the statement that proves what the unit took to be so, on PostgreSQL."""

    def first(self, changes: Sequence[Change]) -> Sequence[Assumption]:
        """Return the updates, which are of rows that are there."""

    def apply_rest(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        """Write what `apply` would write into the live tables after those updates."""


def into_live(table: sa.Table) -> sa.Table:
    return table


def into_scratch(tables: Iterable[ProjectedTable]) -> Into:
    scratch = {table.live: table.scratch for table in tables}
    return scratch.__getitem__


def fingerprint(version: int, *tables: sa.Table) -> str:
    """Hash the columns and `version`, which is raised when the meaning of a column changes."""
    columns = [
        f"{table.name}.{column.name} {type(column.type).__name__} {column.nullable} {column.primary_key}"
        for table in tables
        for column in table.columns
    ]
    return sha256("\n".join([str(version), *columns]).encode()).hexdigest()[:16]


_ALL: Final = sa.select(projection_state.c.name, projection_state.c.fingerprint)
FINGERPRINTS: Final = Prepared(lambda _: _ALL)


def are_current(projections: Sequence[Projection]) -> Query:
    """Return the query that finds a row if this version of the code made the rows of all of these."""
    return _are_current(tuple((each.name, each.fingerprint) for each in projections))


@cache
def _are_current(made_here: tuple[tuple[str, str], ...]) -> Query:
    state = projection_state.c
    these = [sa.and_(state.name == name, state.fingerprint == fingerprint) for name, fingerprint in made_here]
    count = sa.select(sa.func.count()).select_from(projection_state).where(sa.or_(*these)).scalar_subquery()
    is_complete = count == len(these)
    return Prepared(lambda _: sa.select(sa.literal_column("1")).where(is_complete)).query()


def require_current(projections: Sequence[Projection], read: Iterable[tuple[str, str]]) -> None:
    """Raise OutdatedProjectionError where another version of the code made rows.

    `read` are FINGERPRINTS, read under the append lock, so no rebuild can interfere.
    """
    made_by = dict(read)
    for projection in projections:
        if made_by.get(projection.name) != projection.fingerprint:
            raise OutdatedProjectionError(projection.name)


def are_entered(connection: sa.Connection, projections: Sequence[Projection]) -> bool:
    """Whether it is known which version makes the rows of each of these; with events, one that is not was never built."""
    missing = {each.name for each in projections} - _fingerprints(connection).keys()
    return not missing or has_events(connection)


def enter(connection: sa.Connection, projections: Sequence[Projection]) -> None:
    """Say of an empty log that this version makes its rows; under the log's lock, so that it stays empty."""
    if not are_entered(connection, projections):
        rows = [{"name": each.name, "fingerprint": each.fingerprint} for each in projections]
        connection.execute(upsert(connection, projection_state).on_conflict_do_nothing(), rows)


def outdated(connection: sa.Connection, projections: Sequence[Projection]) -> Sequence[Projection]:
    """Return the projections for which a unit would be refused now; without the lock, the answer may be out of date at once."""
    made_by = _fingerprints(connection)
    old = [each for each in projections if made_by.get(each.name) != each.fingerprint]
    return old if old and has_events(connection) else ()


def has_events(connection: sa.Connection) -> bool:
    return bool(connection.scalar(sa.select(sa.exists(sa.select(stored_event.c.position)))))


def _fingerprints(connection: sa.Connection) -> dict[str, str]:
    return dict(FINGERPRINTS.start(connection, {}).all())


def write_rows(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    changed: tuple[str, ...] | None = None,
) -> None:
    """Insert each row, or overwrite the one with its primary key. No key may come twice.

    `changed` names the columns that differ from the rows that are there, where they are known.
    """
    if rows:
        names = tuple(rows[0])
        statement = upserting(table, names, names) if changed is None else _update(table, changed)
        statement.many(connection, rows)


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        _insert(table, tuple(rows[0])).copy(connection, table, rows)


@cache
def _insert(table: sa.Table, names: Sequence[str]) -> Prepared:
    return Prepared(lambda _: sa.insert(table), names)


@cache
def upserting(table: sa.Table, names: Sequence[str], columns: Sequence[str]) -> Prepared:
    """Return the insertion of a row with these names, or the update of these columns of the one with its key."""

    def build(dialect: str) -> Insert:
        insert, key = insert_of(dialect, table), key_of(dialect, table)
        excluded = {name: insert.excluded[name] for name in columns if not table.c[name].primary_key}
        return insert.on_conflict_do_update(index_elements=key, set_=excluded)

    return Prepared(build, names)


@cache
def _update(table: sa.Table, names: Sequence[str]) -> Prepared:
    known = [each for each in table.columns if each.primary_key or isinstance(each.type, Did)]
    return Prepared(
        lambda _: sa.update(table).where(*(column == sa.bindparam(column.name) for column in known)), names
    )
