"""A SQLite database with our schema, in memory. There is one, which every world begins anew: its statements stay compiled."""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import cache

import identity.session_rows  # noqa: F401 - declares its table
import outbox.tables  # noqa: F401 - declares its tables
from eventstore.database import Database
from eventstore.schema import metadata


class _Clock:
    """The time of whichever world is running."""

    def __init__(self) -> None:
        self.now: Callable[[], datetime] | None = None

    def __call__(self) -> datetime:
        assert self.now is not None, "no world is running"
        return self.now()


_clock = _Clock()


def memory_database(clock: Callable[[], datetime]) -> Database:
    """The database, empty, and on this clock."""
    database = _database()
    driver_of(database).deserialize(_empty())
    _clock.now = clock
    return database


@cache
def _database() -> Database:
    # One connection: nothing runs beside anything else, and each would have a memory of its own.
    return Database("sqlite:///:memory:", clock=_clock, pool_size=1)


@cache
def _empty() -> bytes:
    with _database().write() as connection:
        metadata.create_all(connection)
    return driver_of(_database()).serialize()


@cache
def driver_of(database: Database) -> sqlite3.Connection:
    """The one connection below the database."""
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver
