"""The statements of every unit of work: compiled once, and given to the driver as they are.

SQLAlchemy's own execution costs more than the driver's and the database's together. Errors are SQLAlchemy's all the same.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.visitors import replacement_traverse

from eventstore.errors import BrokenUnitError, UnpreparedQueryError
from eventstore.streams import pinned  # noqa: F401 - tells the compiler to name buckets
from eventstore.streams.buckets import Bucket

Process = Callable[[Any], Any]

_BIND: Final = re.compile(r"\$(\d+)(::\w+)?")
"""A parameter of PostgreSQL, with its cast."""

PENDING: Final[Any] = object()
"""Stands for the position of the event that was inserted in this pipeline, and that only the database knows."""
_POSITION: Final = "currval('stored_event_position_seq')"
SEPARATOR: Final = "\x1f"
"""Between the items of a list for SQLite; no id, DID or tag has one."""


class Prepared:
    """A statement that is built once; its values are parameters or constants. `names` are the columns that an INSERT or UPDATE sets by their names."""

    def __init__(self, build: Callable[[str], Any], names: Sequence[str] | None = None) -> None:
        self.build: Final = build
        self._names: Final = names
        self._compiled: dict[str, _Compiled] = {}

    def start(self, connection: sa.Connection, values: Mapping[str, Any]) -> "Result":
        """Execute; in a pipeline, send it."""
        compiled = self._of(connection)
        ordered = compiled.ordered(values)
        cursor = execute(connection, compiled.sql_for([ordered]), ordered)
        # SQLite shows a connection nothing newer while one of its statements has rows left
        return Result(cursor, compiled, cursor.fetchall() if connection.dialect.name == "sqlite" else None)

    def query(self, **values: Any) -> "Query":
        return Query(self, tuple(values.items()))

    def many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        if len(rows) == 1:
            self.start(connection, rows[0])
            return
        compiled = self._of(connection)
        ordered = [compiled.ordered(row) for row in rows]
        execute(connection, compiled.sql_for(ordered), ordered, many=True)

    def copy(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do what this INSERT into the table would, for many rows: with COPY, where PostgreSQL allows it."""
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name == "sqlite" or driver.pgconn.pipeline_status:
            self.many(connection, rows)
            return
        compiled = self._of(connection)
        columns = ", ".join(table.c[name].name for name in compiled.names)
        try:
            with driver.cursor() as cursor, cursor.copy(f"copy {table.name} ({columns}) from stdin") as copy:
                for row in rows:
                    copy.write_row(compiled.ordered(row))
        except connection.dialect.loaded_dbapi.Error as error:
            raise _wrapped(error, connection, compiled.sql) from error

    def _of(self, connection: sa.Connection) -> "_Compiled":
        dialect = connection.dialect
        if (compiled := self._compiled.get(dialect.name)) is None:
            compiled = _Compiled(self.build(dialect.name), dialect, self._names)
            self._compiled[dialect.name] = compiled
        return compiled


def among(column: sa.ColumnElement[Any], name: str, dialect: str) -> sa.ColumnElement[bool]:
    """Whether the column is in the list that the statement is executed with: a compiled IN has a fixed length."""
    if dialect != "sqlite":
        return column == sa.any_(sa.bindparam(name, type_=ARRAY(column.type)))
    # json_each would be shorter, and crashes SQLite 3.46 where it is kept over a `deserialize`, with which tests put databases back
    separator = sa.literal_column(f"char({ord(SEPARATOR)})", sa.Text)
    first = sa.select(
        sa.literal_column("null").label("item"), sa.bindparam(name, type_=_Joined()).label("rest")
    )
    items = first.cte(recursive=True)
    length = sa.func.instr(items.c.rest, separator)
    items = items.union_all(
        sa.select(
            sa.func.substr(items.c.rest, sa.literal_column("1"), length - sa.literal_column("1")),
            sa.func.substr(items.c.rest, length + sa.literal_column("1")),
        ).where(items.c.rest != sa.literal_column("''"))
    )
    return column.in_(sa.select(sa.cast(items.c.item, column.type)).where(items.c.item.is_not(None)))


class _Joined(sa.TypeDecorator[Sequence[Any]]):
    """A list as a text, each item followed by SEPARATOR."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[Any] | None, dialect: sa.Dialect) -> str:  # noqa: ARG002
        return "".join(f"{item}{SEPARATOR}" for item in value or ())


class Query(NamedTuple):
    statement: Prepared
    values: tuple[tuple[str, Any], ...]

    def start(self, connection: sa.Connection) -> "Result":
        return self.statement.start(connection, dict(self.values))


class Result:
    """The rows that a statement returns, once a pipeline that it was sent in has ended."""

    def __init__(self, cursor: Any, compiled: "_Compiled", read: Sequence[Any] | None) -> None:
        self._cursor: Final = cursor
        self._compiled: Final = compiled
        self._read = read

    def all(self) -> list[Any]:
        """Return the rows, with their columns by name."""
        if self._read is None:
            self._read = self._cursor.fetchall()
        return [self._compiled.row(values) for values in self._read]


class _Compiled:
    def __init__(self, statement: Any, dialect: sa.Dialect, names: Sequence[str] | None) -> None:
        variant: Any = type(dialect)
        positional = dialect if dialect.name == "sqlite" else variant(paramstyle="numeric_dollar")
        compiled = statement.compile(dialect=positional, column_keys=names)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self.sql: Final = str(compiled)
        self.names: Final[Sequence[str]] = compiled.positiontup or ()
        self._keys: Final[list[str]] = []
        """What the values call each parameter."""
        self._constants: Final[dict[str, Any]] = {}
        self._processes: Final[list[tuple[int, Process]]] = []
        for at, name in enumerate(self.names):
            bind, key = binds[name], name
            process = bind.type.dialect_impl(dialect).bind_processor(dialect)
            is_constant = not bind.required and bind.value is not None
            if isinstance(bind.type, Bucket) and not is_constant:
                key = bind.type.of
            elif not bind.required:
                value = bind.effective_value
                self._constants[name] = value if process is None else process(value)
                process = None
            self._keys.append(key)
            if process is not None:
                self._processes.append((at, process))
        columns = list(statement.exported_columns)
        self._processors: Final = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        fields = [column.key if isinstance(column, sa.Column) else column.name for column in columns]
        self._row: Final[Any] = namedtuple("Row", fields)  # type: ignore[misc]  # noqa: PYI024
        self._pending: dict[frozenset[int], str] = {}
        self._is_sqlite: Final = dialect.name == "sqlite"  # which has told every position before

    def ordered(self, values: Mapping[str, Any]) -> list[Any]:
        given = {**values, **self._constants} if self._constants else values
        ordered = [*map(given.__getitem__, self._keys)]
        for at, process in self._processes:
            ordered[at] = process(ordered[at])
        return ordered

    def sql_for(self, rows: Sequence[list[Any]]) -> str:
        """Return the statement for these rows: it reads the position itself where one is PENDING, which becomes NULL."""
        if self._is_sqlite or not any(PENDING in row for row in rows):
            return self.sql
        pending = frozenset(at for row in rows for at, each in enumerate(row) if each is PENDING)
        for row in rows:
            row[:] = [None if each is PENDING else each for each in row]
        if pending not in self._pending:
            self._pending[pending] = _BIND.sub(
                lambda bind: f"coalesce({bind[0]}, {_POSITION})" if int(bind[1]) - 1 in pending else bind[0],
                self.sql,
            )
        return self._pending[pending]

    def row(self, values: Sequence[Any]) -> Any:
        processed = zip(values, self._processors, strict=True)
        return self._row._make([value if process is None else process(value) for value, process in processed])


def execute(connection: sa.Connection, sql: str, values: Sequence[Any], *, many: bool = False) -> Any:
    """Give a statement to the driver."""
    target: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        import psycopg  # noqa: PLC0415 - takes long to load, and SQLite does without

        raw_cursor: Any = psycopg.RawCursor
        target = raw_cursor(target)
    try:
        return target.executemany(sql, values) if many else target.execute(sql, values)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, connection, sql) from error


@contextmanager
def pipelined(connection: sa.Connection) -> Generator[None]:
    """Send the statements inside to PostgreSQL in one round trip. What they return, and raise, is known at the end only."""
    if connection.dialect.name == "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    early: DBAPIError | None = None
    try:
        with driver.pipeline() as pipeline:
            pipeline._exit_gen = partial(_end, pipeline)  # noqa: SLF001 - there is no public way
            try:
                yield
            except DBAPIError as error:  # answered before the end; psycopg would log what is aborted by it
                early = error
    except connection.dialect.loaded_dbapi.Error as error:
        if early is None:
            raise _wrapped(error, connection, None) from error
    if early is not None:
        raise early


def start_begin(connection: sa.Connection) -> None:
    """Begin a transaction that has not begun yet, with the pipeline of its statements: psycopg's own BEGIN waits for its answer."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite" and driver.autocommit and driver.info.transaction_status == 0:
        execute(connection, "begin isolation level read committed", ())


def start_commit(connection: sa.Connection) -> None:
    """Commit at the end of a pipeline: one that holds all of a transaction takes one round trip. On SQLite the caller commits."""
    if connection.dialect.name != "sqlite":
        execute(connection, "commit", ())


def require_open_transaction(connection: sa.Connection) -> None:
    """Raise BrokenUnitError where a failed statement has ended the transaction: a COMMIT would succeed and keep nothing."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        alive = driver.in_transaction
    else:
        alive = driver.info.transaction_status.name not in {"INERROR", "UNKNOWN"}
    if not alive:
        raise BrokenUnitError


def roll_back_but_keep_prepared(connection: sa.Connection) -> None:
    """Roll back before psycopg does, which would forget what its session has prepared: after each refusal all would be planned anew.

    It does so for tables that are made anew, which PostgreSQL finds by their names; and for statements that it takes to be prepared,
    although an error before them in their pipeline has kept them from it. So after an error it shall.
    """
    if connection.invalidated:
        return
    driver: Any = connection.connection.dbapi_connection
    if not driver.pgconn.pipeline_status and driver.info.transaction_status.name == "INTRANS":
        driver.pgconn.exec_(b"rollback")


def refuse_query_in_pipeline(cursor: Any, _sql: str, _values: Any, context: Any) -> None:
    """Raise UnpreparedQueryError for a SELECT of SQLAlchemy's own: there it would return no rows, whatever the database finds."""
    if cursor.connection.pgconn.pipeline_status and getattr(context.invoked_statement, "is_select", False):
        raise UnpreparedQueryError


def _end(pipeline: Any) -> Generator[Any, Any, None]:
    # psycopg may send a Flush behind the Sync. That would stop PostgreSQL's idle_in_transaction_session_timeout, and a process
    # that is frozen then would keep its locks.
    pipeline._enqueue_sync()  # noqa: SLF001
    try:
        yield from pipeline._communicate_gen()  # noqa: SLF001
    finally:
        yield from pipeline._fetch_gen(flush=False)  # noqa: SLF001


def _wrapped(error: Any, connection: sa.Connection, sql: str | None) -> BaseException:
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    if is_lost:
        connection.invalidate(error)
    wrapped: BaseException = DBAPIError.instance(
        sql, None, error, dialect.loaded_dbapi.Error, connection_invalidated=is_lost, dialect=dialect
    )
    return wrapped


DIVISION_BY_ZERO: Final = "22012"


class StaleError(Exception):
    """Something is not as the unit took it to be; nothing was written."""


class Assumption(NamedTuple):
    """A query that finds a row or none, or an UPDATE of PostgreSQL that does, and returns it."""

    query: Query
    finds: bool


def prove(connection: sa.Connection, assumptions: Sequence[Assumption]) -> Result | None:
    """Start to prove them: PostgreSQL refuses what follows in the pipeline where one is wrong. Raises StaleError on SQLite."""
    if not assumptions:
        return None
    proof = _proof(tuple((each.query.statement, each.finds) for each in assumptions))
    values = {
        _numbered(name, number): value
        for number, each in enumerate(assumptions)
        for name, value in each.query.values
    }
    proved = proof.start(connection, values)
    if connection.dialect.name == "sqlite" and proved.all()[0].proved is None:
        raise StaleError
    return proved


@lru_cache(maxsize=1024)
def _proof(assumed: tuple[tuple[Prepared, bool], ...]) -> Prepared:
    def build(dialect: str) -> Any:
        conditions = []
        for number, (each, finds) in enumerate(assumed):
            query = each.build(dialect)
            exists = sa.exists().select_from(query.cte()) if query.is_dml else sa.exists(query)
            found = _with_numbers(exists, number)
            conditions.append(found if finds else sa.not_(found))
        all_hold = sa.and_(*conditions)
        # divides by zero unless they hold, which is null on SQLite
        one = sa.literal_column("1", sa.Integer)
        return sa.select(
            one.op("/")(sa.case((all_hold, one), else_=sa.literal_column("0", sa.Integer))).label("proved")
        )

    return Prepared(build)


def _with_numbers(condition: Any, number: int) -> Any:
    """Rename its parameters: each assumption has its own values."""

    def renamed(element: Any, **_: Any) -> Any:
        if isinstance(element, sa.BindParameter) and element.required:
            type_ = element.type
            if isinstance(type_, Bucket):
                type_ = Bucket(_numbered(type_.of, number))
            return sa.bindparam(_numbered(element.key, number), type_=type_)
        return None

    return replacement_traverse(condition, {}, renamed)


def _numbered(name: str, number: int) -> str:
    return f"{name}_of_{number}"
