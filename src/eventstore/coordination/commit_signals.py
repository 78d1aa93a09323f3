"""Signals that another process has committed: NOTIFY and LISTEN on PostgreSQL, data_version on a SQLite file.

A signal names the buckets in which something may be due, or none: then that is any. It may be lost, and only saves time: every
worker polls for work as well.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

import sqlalchemy as sa

from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of

if TYPE_CHECKING:
    import psycopg

logger: Final = logging.getLogger("mastertape.eventstore")

CHANNEL: Final = "mastertape"
"""Of commits that workers look for."""
SETTLED: Final = "mastertape_settled"
"""Of what relays have settled: processes that run no worker listen to this alone."""
awaited: Final[ContextVar[bool]] = ContextVar("awaited", default=False)
"""Whether a caller waits for what follows the commit that is made now."""
POLL_SECONDS: Final = 0.25
RECONNECT_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = {CHANNEL: 0.03, SETTLED: 0.002}
"""After an announcement, since one covers a whole burst of commits: relays poll no more often, but requests wait for what was settled."""
MAX_NAMED: Final = 1000
"""Buckets in one announcement, whose text may have 8,000 bytes."""

_ANNOUNCE: Final = "select set_config('synchronous_commit', 'off', true), pg_notify(%s, %s)"
"""A signal need not survive a crash. The setting ends with the statement: a pooler gives the session to other clients."""


class Wake(Protocol):
    def __call__(self, *buckets: int) -> None:
        """Tell that something may be due in these buckets, or, if none is named, in any."""


def announce(connection: sa.Connection, did: str | None = None) -> None:
    """Notify every process when this transaction commits. Only for rare commits: PostgreSQL serializes them (ADR 8)."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            sa.select(sa.func.pg_notify(CHANNEL, _text([] if did is None else [bucket_of(did)])))
        )


def wake_each(wakes: Sequence[Wake], *buckets: int) -> None:
    for wake in wakes:
        wake(*buckets)


def _text(buckets: Collection[int]) -> str:
    return " ".join(map(str, buckets)) if len(buckets) <= MAX_NAMED else ""


class Announcer:
    """Notifies other processes after a commit, on a connection and in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self._pending = defaultdict[str, set[tuple[int, ...]]](set)
        """By channel, the buckets of each request."""
        self._lock: Final = threading.Lock()
        self._requested: Final = threading.Event()
        self._stopping: Final = threading.Event()
        self._thread: threading.Thread | None = None
        self.backend: int | None = None
        """The process id of the server's session that announces; that of a pooler's client, which no session has."""

    def announce(self, *buckets: int) -> None:
        """Request an announcement. Callable from any thread; never waits for the database."""
        self._request(CHANNEL, buckets)

    def announce_settled(self, _did: str, _acknowledged: object) -> None:
        self._request(SETTLED, ())

    def _request(self, channel: str, buckets: tuple[int, ...]) -> None:
        if self._database.is_sqlite:  # no process would hear it
            return
        with self._lock:
            self._pending[channel].add(buckets)
        self._requested.set()

    def start(self) -> None:
        """Start the thread on PostgreSQL; processes that share a SQLite file see that it changed."""
        if not self._database.is_sqlite:
            self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
            self._thread.start()

    def stop(self, seconds: float) -> None:
        """Make the last announcement, and wait at most this long for the thread to end."""
        self._stopping.set()
        self._requested.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with contextlib.closing(_own_connection(self._database)) as driver:
                    self.backend = driver.info.backend_pid
                    self._announce_on(driver)
            except Exception:
                logger.warning("announcer_disconnected", exc_info=True)  # other processes poll meanwhile
                self._stopping.wait(RECONNECT_SECONDS)

    def _announce_on(self, driver: "psycopg.Connection[Any]") -> None:
        stopping = False
        while not stopping:
            self._requested.wait()
            stopping = self._stopping.is_set()
            self._requested.clear()
            with self._lock:
                pending, self._pending = self._pending, defaultdict(set)
            for channel, requests in pending.items():
                named = {*chain.from_iterable(requests)} if all(requests) else set[int]()
                driver.execute(_ANNOUNCE, [channel, _text(named)])
            self._stopping.wait(max(map(PAUSE_SECONDS.__getitem__, pending), default=0))


class Listener:
    """Receives the commits of all processes, and reconnects after the database was away."""

    def __init__(self, database: Database, channel: str = CHANNEL, *, own: Announcer | None = None) -> None:
        """What `own` announces has woken this process already, and is passed over."""
        self.database: Final = database
        self.channel: Final = channel
        self.own: Final = own
        self.alive = False
        """Whether commits are being received now."""

    async def run(self, on_commit: Wake) -> None:
        """Call `on_commit` after commits, until cancelled; one call may stand for several."""
        signals_of = _file_changes if self.database.is_sqlite else _notifications
        while True:
            try:
                async with contextlib.aclosing(signals_of(self)) as signals:
                    async for buckets in signals:
                        self.alive = True
                        on_commit(*buckets)
            except Exception:
                logger.warning("listener_disconnected", exc_info=True)
            finally:
                self.alive = False
            await asyncio.sleep(RECONNECT_SECONDS)


@asynccontextmanager
async def _opened(open_: Callable[[], Any]) -> AsyncGenerator[Any]:
    """Open a connection for the block. A cancellation waits until the thread has opened it, and closes it."""
    opening = asyncio.create_task(asyncio.to_thread(open_))
    try:
        yield await asyncio.shield(opening)
    finally:
        await asyncio.wait({opening})
        if opening.exception() is None:
            opening.result().close()


async def _notifications(listener: Listener) -> AsyncGenerator[Sequence[int]]:
    """Yield at once, for commits before listening began, and then after each NOTIFY."""

    def listening() -> "psycopg.Connection[Any]":
        driver = _own_connection(listener.database)
        driver.execute(f"listen {listener.channel}".encode())
        return driver

    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    async with _opened(listening) as driver:
        descriptor = driver.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            yield ()
            while True:
                await readable.wait()
                readable.clear()
                driver.pgconn.consume_input()
                heard = list[bytes]()
                while (notification := driver.pgconn.notifies()) is not None:
                    if listener.own is None or notification.be_pid != listener.own.backend:
                        heard.append(notification.extra)
                if heard:
                    yield [int(each) for each in b" ".join(heard).split()] if all(heard) else ()
        finally:
            loop.remove_reader(descriptor)


async def _file_changes(listener: Listener) -> AsyncGenerator[Sequence[int]]:
    file, seen = sa.make_url(listener.database.url).database or "", None
    open_ = partial(sqlite3.connect, file, timeout=0, isolation_level=None, check_same_thread=False)
    async with _opened(open_) as driver:
        while True:
            (version,) = driver.execute("PRAGMA data_version").fetchone()  # reads shared memory
            if version != seen:
                seen = version
                yield ()
            await asyncio.sleep(POLL_SECONDS)


def _own_connection(database: Database) -> "psycopg.Connection[Any]":
    """Return a connection outside of the pool."""
    pooled = database.engine.raw_connection()
    driver: Any = pooled.driver_connection
    pooled.detach()
    driver.autocommit = True
    own: psycopg.Connection[Any] = driver
    return own
