"""A backup of a rig's database, and a rig on what was put back from it, at the same PDS."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from eventstore.coordination.restore_detection import compare_with_seen, detect_on_connect, newest_issued
from eventstore.sql.cluster import has_citus
from eventstore.sql.database import Database
from tests.outbox.rigs.relay_rig import Rig
from tests.servers.citus import WorkerBackup, worker_of
from tests.servers.databases import clone_sqlite, temporary_database


class Backup:
    """Taken at once; `restored` gives a rig on a database that is as it was then."""

    def __init__(self, rig: Rig, url: str) -> None:
        self._rig, self._url = rig, url
        if rig.database.is_sqlite:
            clone_sqlite(Path(str(make_url(rig.database.url).database)), Path(str(make_url(url).database)))

    @asynccontextmanager
    async def restored(self) -> AsyncIterator[Rig]:
        """Restore it: a new connection compares the database with the one that was known."""
        with self._rig.database.read() as connection:
            newest = newest_issued(connection)
        database = Database(self._url, clock=self._rig.clock)
        detect_on_connect(database)
        if database.is_sqlite:
            compare_with_seen(database, newest)
        try:
            made = Rig(database, self._rig.pds, self._rig.did, self._rig.wire, self._rig.clock)
            made.bytes.held.update(self._rig.bytes.held)
            yield made
        finally:
            database.close()


class BackupOfWorker(Backup):
    """Of the worker alone that has the rows of the rig's account."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, rig.database.url)
        self._worker = WorkerBackup(worker_of(rig.database.url, rig.did))

    @asynccontextmanager
    async def restored(self) -> AsyncIterator[Rig]:
        self._rig.database.close()
        self._worker.put_back()
        async with super().restored() as rig:
            yield rig


@contextmanager
def backup_of(rig: Rig, folder: Path) -> Iterator[Backup]:
    """Copy the database: PostgreSQL's way is another database, which is what reading in a dump makes too."""
    if rig.database.is_sqlite:
        yield Backup(rig, f"sqlite:///{folder / 'backup.db'}")
        return
    with rig.database.read() as connection:
        on_citus = has_citus(connection)
    rig.database.close()  # no process may be connected to a database while it is cloned
    if on_citus:
        yield BackupOfWorker(rig)
        return
    url = make_url(rig.database.url)
    with temporary_database(
        url.set(database="postgres").render_as_string().replace("%2F", "/"), str(url.database)
    ) as copy:
        yield Backup(rig, copy)
