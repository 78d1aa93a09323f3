"""Keeps what this process acknowledges, so that a promoted standby can be proved to have all of it.

1. Before its first acknowledgement on a server, the process makes a file and registers in the database; it waits until every
   standby has that row. If there is none, or one is asynchronous, the row says so and proves nothing.
2. Before each acknowledgement, it keeps the transaction in the file.
3. On another server it begins again with a new file and a new row; the old ones are left to `failover.proof`.
"""

import logging
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from eventstore.append import upsert
from eventstore.change import RecordedEvent
from eventstore.database import Database
from eventstore.errors import CommitFailedError, EventStoreError, LogBusyError
from eventstore.failover.acknowledged_file import AcknowledgedFile, files_left
from eventstore.failover.tables import acknowledging_process, process
from eventstore.restore_detection import (
    IDENTITY,
    detect_on_connect,
    log_incarnation,
    require_same_server,
    restored_because,
)

logger: Final = logging.getLogger("mastertape.eventstore")

RENEWAL_SECONDS: Final = 600.0
RENEWAL_WITHOUT_STANDBY_SECONDS: Final = 60.0
"""A standby may be attached at any time."""
LEASE: Final = timedelta(hours=1)
"""A row that was not renewed for this long is of a process that has ended, whose machine may be gone."""
MAX_AGE_SECONDS: Final = LEASE.total_seconds() / 2
"""No process acknowledges under a row that is older."""
STANDBY_TIMEOUT_SECONDS: Final = 5.0
STANDBY_POLL_SECONDS: Final = 0.02

_WRITTEN: Final = text("select pg_current_wal_flush_lsn()::text")
_STANDBYS: Final = text("""
    select coalesce(bool_and(coalesce(sync_state in ('sync', 'quorum'), false)), false) as all_synchronous,
        coalesce(bool_and(coalesce(flush_lsn >= cast(:written as pg_lsn), false)), false) as all_have_it
    from pg_stat_replication where state <> 'backup'
""")
"""Only synchronous standbys are waited for, and any other one might be promoted. A role without pg_monitor sees none of it."""
_ON_STANDBY: Final = (
    update(acknowledging_process).where(process.id == bindparam("which")).values(on_standby=True)
)


@dataclass(eq=False)
class Registration:
    """What one process acknowledges under, on one server."""

    file: AcknowledgedFile
    identity: str
    renewed: float = 0.0
    renew_at: float = 0.0

    @property
    def id(self) -> str:
        return self.file.path.name


class Acknowledgements:
    """What this process acknowledges."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database: Final = database
        self.folder: Final = folder
        self._lock: Final = Lock()
        self._current: Registration | None = None
        self._left: list[Registration] = []

    def begin(self, connection: Connection) -> Registration | None:
        """Return what a transaction of this connection is to be acknowledged under; registers where that is due."""
        require_same_server(connection)
        identity = connection.info.get(IDENTITY)
        current = self._current
        if identity is None:
            return None  # a database without tables
        if current is None or current.identity != identity or time.monotonic() >= current.renew_at:
            current = self._register(identity)
        return current

    def keep(self, registration: Registration, event: RecordedEvent) -> None:
        """Keep the newest event of a committed transaction. Raises CommitFailedError where it must not be acknowledged.

        That is so if the process has met another server meanwhile, on which the transaction may be missing.
        """
        try:
            registration.file.keep(event)
        except ValueError as closed:
            raise CommitFailedError from closed
        is_old = time.monotonic() - registration.renewed > MAX_AGE_SECONDS
        if registration is not self._current or is_old:
            raise CommitFailedError

    def leave(self, identity: str) -> list[AcknowledgedFile]:
        """Acknowledge nothing any more on a server other than this; return the files of such servers."""
        with self._lock:
            self._leave(identity)
            return [each.file for each in self._left if each.identity != identity]

    def forget(self, paths: Sequence[Path]) -> None:
        """Delete files that have been proven."""
        with self._lock:
            for each in [each for each in self._left if each.file.path in paths]:
                self._left.remove(each)
                each.file.close()
            for path in paths:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove this process's row, and then its file, unless the server is another one meanwhile."""
        with self._lock:
            current, self._current = self._current, None
            if current is None:
                return
            try:
                with self._connected() as own, _on_server(own, current.identity) as connection:
                    connection.execute(delete(acknowledging_process).where(process.id == current.id))
            except (SQLAlchemyError, EventStoreError) as error:
                logger.warning("process_still_registered", extra={"reason": str(error)})
                current.file.close()
            else:
                current.file.remove()

    def _register(self, identity: str) -> Registration:
        with self._lock:
            if any(each.identity == identity for each in self._left):
                raise LogBusyError  # a connection to a server that this process has left
            self._leave(identity)
            current = self._current or Registration(AcknowledgedFile.create(self.folder), identity)
            began = time.monotonic()
            if began < current.renew_at:
                return current  # another thread was faster
            try:
                on_standby = self._write_row(current)
            except BaseException:
                if self._current is None:
                    current.file.remove()
                raise
            current.renewed = began
            current.renew_at = began + (RENEWAL_SECONDS if on_standby else RENEWAL_WITHOUT_STANDBY_SECONDS)
            self._current = current
            return current

    def _leave(self, identity: str) -> None:
        if self._current is not None and self._current.identity != identity:
            self._left.append(self._current)
            self._current = None

    def _write_row(self, current: Registration) -> bool:
        """Write or renew the row, and return whether every standby has it."""
        with self._connected() as own:
            with _on_server(own, current.identity) as connection:
                now = self.database.now(connection)
                known = connection.scalar(select(log_incarnation.c.identity))
                self._clean_up(connection, known)
                row = upsert(connection, acknowledging_process).values(
                    id=current.id, identity=known, machine=socket.gethostname(), renewed_at=now
                )
                connection.execute(
                    row.on_conflict_do_update(index_elements=[process.id], set_={"renewed_at": now})
                )
                is_over = and_(process.identity == known, process.renewed_at < now - LEASE)
                connection.execute(delete(acknowledging_process).where(is_over))
            with _on_server(own, current.identity) as connection:
                if not _all_standbys_have(connection, str(connection.scalar(_WRITTEN))):
                    return False
                connection.execute(_ON_STANDBY, {"which": current.id})
        return True

    def _clean_up(self, connection: Connection, identity: str | None) -> None:
        """Delete files and rows of ended processes, whose transactions this server has: unless it was restored."""
        if restored_because(connection) is not None:
            return
        for file in files_left(self.folder):
            is_its = and_(process.id == file.path.name, process.identity == identity)
            connection.execute(delete(acknowledging_process).where(is_its))
            file.remove()

    @contextmanager
    def _connected(self) -> Generator[Database]:
        with closing(Database(self.database.url, pool_size=1)) as own:
            detect_on_connect(own)
            yield own


@contextmanager
def _on_server(own: Database, identity: str) -> Generator[Connection]:
    """A transaction. Raises LogBusyError where the connection is to another server."""
    with own.write() as connection:
        require_same_server(connection)
        if connection.info.get(IDENTITY) != identity:
            raise LogBusyError
        yield connection


def _all_standbys_have(connection: Connection, written: str) -> bool:
    deadline = time.monotonic() + STANDBY_TIMEOUT_SECONDS
    while True:
        found: Any = connection.execute(_STANDBYS, {"written": written}).one()
        if not found.all_synchronous or time.monotonic() > deadline:
            return False
        if found.all_have_it:
            return True
        time.sleep(STANDBY_POLL_SECONDS)
