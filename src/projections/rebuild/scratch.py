"""The scratch tables, filled page by page beside the live tables."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, select, text, update

from eventstore.append import upsert
from eventstore.change import Change
from eventstore.database import Database
from eventstore.projection import Projection, into_scratch
from eventstore.schema import projection_state

MARKER: Final = "scratch"
"""The row of projection_state that names the run which owns the scratch tables."""
_IS_RUN: Final = projection_state.c.name == MARKER


class ReplayWork(StrEnum):
    """What the log is replayed for."""

    REBUILD = "rebuild"
    COMPARISON = "comparison"


class OvertakenError(Exception):
    """Another rebuild or verification has taken the scratch tables; this one stopped and changed nothing."""

    def __str__(self) -> str:
        return type(self).__doc__ or ""


class Scratch:
    """The scratch tables of some projections, owned by this run until a later run takes them."""

    def __init__(self, database: Database, projections: Sequence[Projection], work: ReplayWork) -> None:
        self.tables: Final = tuple(table for projection in projections for table in projection.tables)
        self._database: Final = database
        self._projections: Final = tuple(projections)
        self._into: Final = into_scratch(self.tables)
        self._work: Final = work
        self._run: Final = uuid4().hex

    def take(self) -> None:
        """Take the tables from an earlier run, and clear what a crash may have left."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            run = {
                "fingerprint": self._run,
                "work": self._work,
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
            self._clear(connection)

    @contextmanager
    def ours(self) -> Generator[Connection]:
        """Open, or join, a transaction in which no other run can take the tables; raises OvertakenError."""
        with self._database.write() as connection:
            marker = select(projection_state.c.fingerprint).where(_IS_RUN)
            if connection.scalar(marker.with_for_update()) != self._run:
                raise OvertakenError
            yield connection

    def apply(self, changes: Sequence[Change], *, position: int, head: int) -> None:
        """Apply the projections to the changes, and record the position that is reached by that, on the way to `head`."""
        with self.ours() as connection:
            for projection in self._projections if changes else ():
                projection.apply(connection, changes, self._into)
            reached = {"position": position, "head": head, "moved_at": self._database.now(connection)}
            connection.execute(update(projection_state).where(_IS_RUN).values(reached))

    def analyze(self) -> None:
        """Update PostgreSQL's statistics, so that it compares in one pass."""
        if self._database.is_sqlite:
            return
        with self.ours() as connection:
            for table in self.tables:
                connection.execute(text(f'analyze "{table.scratch.name}"'))

    def leave(self) -> None:
        """Empty the tables and give them up."""
        with self.ours() as connection:
            self._clear(connection)
            connection.execute(delete(projection_state).where(_IS_RUN))

    def _clear(self, connection: Connection) -> None:
        for table in self.tables:
            connection.execute(delete(table.scratch))


def run_under_way(connection: Connection) -> Row[Any] | None:
    """Return the row of the run that owns the scratch tables; a run that a crash cut off stays until the next one."""
    is_known = projection_state.c.work.is_not(None)  # earlier versions recorded no progress
    return connection.execute(select(projection_state).where(_IS_RUN, is_known)).one_or_none()
