"""Records what edits give to the driver, and gives it to the driver once more, on a copy of the database: the floor of an edit, without code of ours."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql as names
from sqlalchemy import Connection, make_url

from eventstore.sql import prepared
from eventstore.sql.database import Database

Statements = list[tuple[str, Any]]
"""Those of one transaction, with their values."""
AROUND: Final = frozenset({"begin", "begin isolation level read committed", "commit"})


@contextmanager
def copied(database: Database, folder: Path) -> Iterator[str]:
    """Yield the URL of a copy of the database as it is."""
    database.engine.dispose()
    url = make_url(database.url)
    if database.is_sqlite:
        copy = folder / "replayed.db"
        with closing(sqlite3.connect(str(url.database))) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        yield f"sqlite:///{copy}"
        return
    server = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    of, name = (names.Identifier(each) for each in (str(url.database), f"{url.database}_copy"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(names.SQL("create database {} template {}").format(name, of))
        try:
            copy_url = url.set(database=f"{url.database}_copy").render_as_string(hide_password=False)
            yield copy_url.replace("%2F", "/")
        finally:
            connection.execute(names.SQL("drop database {} with (force)").format(name))


def record(edit: Callable[[], None], times: int) -> Iterator[Statements]:
    """Make the edits, and return what each gave to the driver."""
    execute, given = prepared.execute, Statements()

    def listened(connection: Connection, sql: str, values: Sequence[Any], *, many: bool = False) -> Any:
        if sql.lower() not in AROUND:
            given.extend((sql, list(row)) for row in (values if many else [values]))
        return execute(connection, sql, values, many=many)

    prepared.execute = listened
    recorded = []
    try:
        for _ in range(times):
            edit()
            recorded.append(list(given))
            given.clear()
    finally:
        prepared.execute = execute
    return iter(recorded)


@contextmanager
def driver(url: str) -> Iterator[Callable[[Statements], None]]:
    """Yield what gives the statements of a transaction to the database, on PostgreSQL in one round trip."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parsed.database), isolation_level=None)) as connection:
            connection.execute("pragma synchronous=full")
            yield partial(_on_sqlite, connection)
        return
    plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as postgres:
        yield partial(_on_postgres, postgres)


def _on_sqlite(connection: sqlite3.Connection, statements: Statements) -> None:
    connection.execute("begin immediate")
    for statement, values in statements:
        connection.execute(statement, values).fetchall()
    connection.execute("commit")


def _on_postgres(connection: psycopg.Connection[Any], statements: Statements) -> None:
    with connection.pipeline():
        cursor = psycopg.RawCursor(connection)
        cursor.execute("begin")
        for statement, values in statements:
            cursor.execute(statement, values)
        cursor.execute("commit")
