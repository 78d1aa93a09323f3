"""Hearing of what other processes commit: NOTIFY and LISTEN on PostgreSQL, data_version on a SQLite file.

These are hints that save time. Who waits for work looks by itself now and then, in case that one is lost.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, func, make_url, select

from eventstore.database import Database

if TYPE_CHECKING:
    import psycopg

logger: Final = logging.getLogger("mastertape.eventstore")

CHANNEL: Final = "mastertape"
LOOK_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 1.0
LEAST_SECONDS: Final = 0.002
"""Minimum interval between two announcements: one covers a whole burst of commits."""


def announce(connection: Connection) -> None:
    """Notify every process of this transaction's commit: only for rare ones, since their commits are serialized.

    PostgreSQL lets one transaction with a NOTIFY commit at a time (docs/adr/0008-wake-after-the-commit.md).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, "")))


class Announcer:
    """Has other processes hear of commits that were made just now, on a connection and in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self._news: Final = threading.Event()
        self._over: Final = threading.Event()
        self._thread: threading.Thread | None = None

    def announce(self) -> None:
        """There is something new; may be called from any thread, and waits for nothing."""
        self._news.set()

    def start(self) -> None:
        """Begin, where it is of use: who shares a file sees that it changed."""
        if not self._database.is_sqlite:
            self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
            self._thread.start()

    def stop(self, seconds: float) -> None:
        """Say what is still to be said, and end within this time."""
        self._over.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with contextlib.closing(_own_connection(self._database)) as driver:
                    driver.execute("set synchronous_commit = off")  # a hint need not outlive the machine
                    self._announce_on(driver)
            except Exception:
                logger.warning("announcer_disconnected", exc_info=True)  # others look by themselves meanwhile
                self._over.wait(AGAIN_SECONDS)

    def _announce_on(self, driver: "psycopg.Connection[Any]") -> None:
        over = False
        while not over:
            self._news.wait()
            over = self._over.is_set()
            self._news.clear()
            driver.execute("select pg_notify(%s, '')", [CHANNEL])
            self._over.wait(LEAST_SECONDS)


class Listener:
    """Hears that somebody has committed something, and finds its way back to a database that was away."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self.alive = False
        """Whether it would hear something now."""

    async def run(self, heard: Callable[[], None]) -> None:
        """Call `heard` at each commit, until it is cancelled."""
        open_, commits = (
            (_open_file, _file_changes)
            if self._database.is_sqlite
            else (_listening_connection, _notifications)
        )
        while True:
            try:
                async with (
                    _opened(open_, self._database) as driver,
                    contextlib.aclosing(commits(driver)) as hints,
                ):
                    async for _ in hints:
                        self.alive = True
                        heard()
            except Exception:
                logger.warning("listener_disconnected", exc_info=True)
            finally:
                self.alive = False
            await asyncio.sleep(AGAIN_SECONDS)


@asynccontextmanager
async def _opened(open_: Callable[[Database], Any], database: Database) -> AsyncGenerator[Any]:
    """Yield a connection for the block; waits for a thread that is still opening one after a cancellation."""
    opening = asyncio.create_task(asyncio.to_thread(open_, database))
    try:
        yield await asyncio.shield(opening)
    finally:
        await asyncio.wait({opening})
        if opening.exception() is None:
            opening.result().close()


async def _notifications(driver: "psycopg.Connection[Any]") -> AsyncGenerator[None]:
    """Yield a hint at once, for what came before listening began, and then one for each NOTIFY."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    descriptor = driver.fileno()
    loop.add_reader(descriptor, readable.set)
    try:
        yield
        while True:
            await readable.wait()
            readable.clear()
            if _consume(driver):
                yield
    finally:
        loop.remove_reader(descriptor)


async def _file_changes(driver: sqlite3.Connection) -> AsyncGenerator[None]:
    """Yield a hint whenever the file has changed."""
    seen = None
    while True:
        version = driver.execute("PRAGMA data_version").fetchone()[0]  # of shared memory: takes microseconds
        if version != seen:
            seen = version
            yield
        await asyncio.sleep(LOOK_SECONDS)


def _open_file(database: Database) -> sqlite3.Connection:
    file = make_url(database.url).database or ""
    return sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)


def _listening_connection(database: Database) -> "psycopg.Connection[Any]":
    driver = _own_connection(database)
    driver.execute(f"listen {CHANNEL}")
    return driver


def _own_connection(database: Database) -> "psycopg.Connection[Any]":
    """Return a connection outside of the pool."""
    pooled = database.engine.raw_connection()
    driver: Any = pooled.driver_connection
    pooled.detach()
    driver.autocommit = True
    own: psycopg.Connection[Any] = driver
    return own


def _consume(driver: "psycopg.Connection[Any]") -> bool:
    """Take what has come in; whether a notification was in it."""
    driver.pgconn.consume_input()
    heard = False
    while driver.pgconn.notifies() is not None:
        heard = True
    return heard
