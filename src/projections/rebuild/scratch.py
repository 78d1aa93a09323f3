"""The scratch tables: temporary ones of one connection, filled page by page beside the live tables."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, select, text, update

from eventstore.append import upsert
from eventstore.change import Change
from eventstore.database import Database
from eventstore.projection import Projection, into_scratch
from eventstore.schema import projection_state

MARKER: Final = "scratch"
"""The row of projection_state that says how far the newest run is; it stays where a crash cut that off."""


class ReplayWork(StrEnum):
    """What the log is replayed for."""

    REBUILD = "rebuild"
    COMPARISON = "comparison"


class Scratch:
    """The scratch tables of some projections; nothing of a run waits for another one."""

    def __init__(self, database: Database, connection: Connection, projections: Sequence[Projection]) -> None:
        self.connection: Final = connection
        self.tables: Final = tuple(table for projection in projections for table in projection.tables)
        self._database: Final = database
        self._projections: Final = tuple(projections)
        self._into: Final = into_scratch(self.tables)
        self._run: Final = uuid4().hex

    def create(self) -> None:
        with self.connection.begin():
            for table in self.tables:
                table.scratch.create(self.connection, checkfirst=False)

    def apply(self, changes: Sequence[Change]) -> None:
        for projection in self._projections if changes else ():
            projection.apply(self.connection, changes, self._into)

    def analyze(self) -> None:
        """Update PostgreSQL's statistics, so that it compares in one pass."""
        if not self._database.is_sqlite:
            with self.connection.begin():
                for table in self.tables:
                    self.connection.execute(text(f'analyze "{table.scratch.name}"'))

    def begin(self, work: ReplayWork) -> None:
        """Say that this run has begun."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            run = {
                "fingerprint": self._run,
                "work": work,
                "read_models": " ".join(projection.name for projection in self._projections),
                "position": 0,
                "head": 0,
                "began_at": now,
                "moved_at": now,
            }
            statement = upsert(connection, projection_state).values(name=MARKER, **run)
            connection.execute(
                statement.on_conflict_do_update(index_elements=[projection_state.c.name], set_=run)
            )

    def reached(self, position: int, head: int) -> None:
        """Say which position is reached, on the way to `head`."""
        with self._database.write() as connection:
            reached = {"position": position, "head": head, "moved_at": self._database.now(connection)}
            connection.execute(update(projection_state).where(*self._is_this_run()).values(reached))

    def end(self) -> None:
        with self._database.write() as connection:
            connection.execute(delete(projection_state).where(*self._is_this_run()))

    def _is_this_run(self) -> Sequence[Any]:
        return projection_state.c.name == MARKER, projection_state.c.fingerprint == self._run


@contextmanager
def scratch_of(database: Database, projections: Sequence[Projection], work: ReplayWork) -> Generator[Scratch]:
    """Make the tables for a run, which ends with the block; raises PooledConnectionError where a pooler would lose them."""
    database.require_direct()
    with database.engine.connect() as connection:
        if database.is_sqlite:  # the usual folder may be small, or in memory
            folder = str(Path(str(connection.engine.url.database)).resolve().parent).replace("'", "''")
            driver: Any = connection.connection.driver_connection
            driver.execute(f"pragma temp_store_directory = '{folder}'").close()
        try:
            scratch = Scratch(database, connection, projections)
            scratch.create()
            scratch.begin(work)
            yield scratch
            scratch.end()
        finally:
            connection.invalidate()  # closes it, with its tables


def run_under_way(connection: Connection) -> Row[Any] | None:
    """Return the row of the newest run; one that a crash cut off stays until the next one."""
    is_known = projection_state.c.work.is_not(None)  # earlier versions recorded no progress
    return connection.execute(
        select(projection_state).where(projection_state.c.name == MARKER, is_known)
    ).one_or_none()
