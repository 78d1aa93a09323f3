"""The scratch tables, filled page by page beside the live tables."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, delete, select, text

from eventstore.append import upsert
from eventstore.change import Change
from eventstore.database import Database
from eventstore.projection import Projection, into_scratch
from eventstore.schema import projection_state

MARKER: Final = "scratch"
"""The row of projection_state that names the run which owns the scratch tables."""


class OvertakenError(Exception):
    """Another rebuild or verification has taken the scratch tables; this one stopped and changed nothing."""

    def __str__(self) -> str:
        return type(self).__doc__ or ""


class Scratch:
    """The scratch tables of some projections, owned by this run until a later run takes them."""

    def __init__(self, database: Database, projections: Sequence[Projection]) -> None:
        self.tables: Final = tuple(table for projection in projections for table in projection.tables)
        self._database: Final = database
        self._projections: Final = tuple(projections)
        self._into: Final = into_scratch(self.tables)
        self._run: Final = uuid4().hex

    def take(self) -> None:
        """Take the tables from an earlier run, and clear what a crash may have left."""
        with self._database.write() as connection:
            statement = upsert(connection, projection_state).values(name=MARKER, fingerprint=self._run)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[projection_state.c.name], set_={"fingerprint": self._run}
                )
            )
            self._clear(connection)

    @contextmanager
    def ours(self) -> Generator[Connection]:
        """Open, or join, a transaction in which no other run can take the tables; raises OvertakenError."""
        with self._database.write() as connection:
            marker = select(projection_state.c.fingerprint).where(projection_state.c.name == MARKER)
            if connection.scalar(marker.with_for_update()) != self._run:
                raise OvertakenError
            yield connection

    def apply(self, changes: Sequence[Change]) -> None:
        """Apply the projections to the changes."""
        if not changes:
            return
        with self.ours() as connection:
            for projection in self._projections:
                projection.apply(connection, changes, self._into)

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
            connection.execute(delete(projection_state).where(projection_state.c.name == MARKER))

    def _clear(self, connection: Connection) -> None:
        for table in self.tables:
            connection.execute(delete(table.scratch))
