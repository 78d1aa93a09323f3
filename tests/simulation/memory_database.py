"""One SQLite database in memory with our schema, which every world empties: its compiled statements are kept."""

import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache, cached_property
from typing import Any

from sqlalchemy import Connection, event

import identity.sessions.session_store  # noqa: F401 - declares its table
import outbox.mirror.tables  # noqa: F401 - declares its tables
from eventstore.sql.database import Database
from eventstore.sql.schema import metadata


class _Clock:
    """The time of whichever world is running."""

    def __init__(self) -> None:
        self.now: Callable[[], datetime] | None = None

    def __call__(self) -> datetime:
        assert self.now is not None, "no world is running"
        return self.now()


_clock = _Clock()


def memory_database(clock: Callable[[], datetime]) -> Database:
    database = _database()
    driver_of(database).deserialize(_empty())
    _clock.now = clock
    return database


class _MemoryDatabase(Database):
    """One connection, which stays open: nothing runs beside anything else, and each would have a memory of its own."""

    @cached_property
    def connection(self) -> Connection:
        return self.engine.connect()

    @contextmanager
    def _begin(self, options: Mapping[str, Any], *, writing: bool) -> Generator[Connection]:  # noqa: ARG002
        with self.connection.begin(), self._joinable(lambda: self.connection, writing=writing):
            yield self.connection

    def commit_in_group(self, write: Callable[[Connection], None]) -> None:
        with self._begin({}, writing=True) as connection:
            write(connection)


@cache
def _database() -> _MemoryDatabase:
    made = _MemoryDatabase("sqlite:///:memory:", clock=_clock, pool_size=1)
    first = made.connection

    def copy(driver: sqlite3.Connection, _: object) -> None:
        """A rebuild has a connection of its own, which would have a memory of its own."""
        if not first.invalidated:
            driver.deserialize(driver_of(made).serialize())

    event.listen(made.engine, "connect", copy)
    return made


@cache
def _empty() -> bytes:
    with _database().write() as connection:
        metadata.create_all(connection)
    return driver_of(_database()).serialize()


def driver_of(database: Database) -> sqlite3.Connection:
    """The one connection below the database; another one after a timeout has cut it off in a statement."""
    assert isinstance(database, _MemoryDatabase)
    driver = database.connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
