"""The statements of every unit of work: compiled once, and given to the driver as they are.

SQLAlchemy's own execution costs more than the driver's and the database's together. Errors are SQLAlchemy's all the same.
"""

from collections import namedtuple
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
)
from sqlalchemy.exc import DBAPIError

Process = Callable[[Any], Any]


class Prepared:
    """A statement whose values are parameters or constants. `names` are the columns that an INSERT or UPDATE sets by their names."""

    def __init__(self, build: Callable[[str], Any], names: Sequence[str] | None = None) -> None:
        self._build: Final = build
        self._names: Final = names
        self._compiled: dict[str, _Compiled] = {}

    def start(self, connection: Connection, values: Mapping[str, Any]) -> "Result":
        """Execute; in a pipeline, send it."""
        compiled = self._of(connection)
        return Result(_execute(connection, compiled.sql, compiled.ordered(values)), compiled)

    def many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute for each row."""
        compiled = self._of(connection)
        _execute(connection, compiled.sql, [compiled.ordered(row) for row in rows], many=True)

    def copy(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do what this INSERT into the table would, for many rows: with COPY, where PostgreSQL allows it."""
        driver: Any = connection.connection.driver_connection
        if connection.dialect.name == "sqlite" or driver.pgconn.pipeline_status:
            self.many(connection, rows)
            return
        compiled = self._of(connection)
        columns = ", ".join(compiled.names)
        try:
            with driver.cursor() as cursor, cursor.copy(f"copy {table.name} ({columns}) from stdin") as copy:
                for row in rows:
                    copy.write_row(compiled.ordered(row))
        except connection.dialect.loaded_dbapi.Error as error:
            raise _wrapped(error, connection, compiled.sql) from error

    def _of(self, connection: Connection) -> "_Compiled":
        dialect = connection.dialect
        if (compiled := self._compiled.get(dialect.name)) is None:
            compiled = _Compiled(self._build(dialect.name), dialect, self._names)
            self._compiled[dialect.name] = compiled
        return compiled


def is_listed(dialect: str, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether a column is among the items of the parameter `name`, which `listing` makes: a compiled IN has a fixed length.

    For short lists of numbers, or of words without spaces.
    """
    place = func.instr if dialect == "sqlite" else func.strpos
    space = literal_column("' '", Text)
    return place(bindparam(name, type_=Text), space + cast(column, Text) + space) > literal_column("0")


def listing(items: Iterable[object]) -> str:
    """Return the parameter of `is_listed`."""
    return f" {' '.join(map(str, items))} "


class Result:
    """The rows that a statement returns, once a pipeline that it was sent in has ended."""

    def __init__(self, cursor: Any, compiled: "_Compiled") -> None:
        self._cursor: Final = cursor
        self._compiled: Final = compiled

    def all(self) -> list[Any]:
        """Return the rows, with their columns by name."""
        return [self._compiled.row(values) for values in self._cursor.fetchall()]


class _Compiled:
    def __init__(self, statement: Any, dialect: Dialect, names: Sequence[str] | None) -> None:
        compiled = statement.compile(dialect=_positional(dialect), column_keys=names)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        self._constants: Final = {
            name: bind.value for bind, name in compiled.bind_names.items() if not bind.required
        }
        self.sql: Final = str(compiled)
        self.names: Final[Sequence[str]] = compiled.positiontup or ()
        self._parameters: Final = [
            (name, types[name].dialect_impl(dialect).bind_processor(dialect)) for name in self.names
        ]
        columns = list(statement.exported_columns)
        self._processors: Final = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns
        ]
        self._row: Final = _row_class(tuple(column.name for column in columns))

    def ordered(self, values: Mapping[str, Any]) -> list[Any]:
        if self._constants:
            values = {**self._constants, **values}
        return [
            values[name] if process is None else process(values[name]) for name, process in self._parameters
        ]

    def row(self, values: Sequence[Any]) -> Any:
        processed = zip(values, self._processors, strict=True)
        return self._row([value if process is None else process(value) for value, process in processed])


def _row_class(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    row: Any = namedtuple("Row", names)  # type: ignore[misc]  # noqa: PYI024
    make: Callable[[Iterable[Any]], Any] = row._make
    return make


def _positional(dialect: Any) -> Any:
    return dialect if dialect.name == "sqlite" else type(dialect)(paramstyle="numeric_dollar")


def _execute(connection: Connection, sql: str, values: Sequence[Any], *, many: bool = False) -> Any:
    driver: Any = connection.connection.driver_connection
    target = driver if connection.dialect.name == "sqlite" else _raw_cursor(driver)
    try:
        return target.executemany(sql, values) if many else target.execute(sql, values)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, connection, sql) from error


def _raw_cursor(driver: Any) -> Any:
    from psycopg import RawCursor  # noqa: PLC0415 - takes long to load, and SQLite does without

    return RawCursor(driver)


@contextmanager
def pipelined(connection: Connection) -> Generator[None]:
    """Send the statements inside to PostgreSQL in one round trip. What they return, and raise, is known at the end only."""
    if connection.dialect.name == "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            yield
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(error, connection, None) from error


def _wrapped(error: Any, connection: Connection, sql: str | None) -> BaseException:
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
    if is_lost:
        connection.invalidate(error)
    wrapped: BaseException = DBAPIError.instance(
        sql, None, error, dialect.loaded_dbapi.Error, connection_invalidated=is_lost, dialect=dialect
    )
    return wrapped
