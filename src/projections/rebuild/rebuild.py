"""Make read models again from the log, while writers and readers go on.

1. Fold the log page by page into scratch tables, up to a position below which nothing can appear any more;
   again for what was appended meanwhile, until a page is enough.
2. In one transaction, with the log alone: fold the tail, write only what differs, note whose code made the rows.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select, text

from eventstore.append import upsert
from eventstore.errors import NestedUnitError
from eventstore.event_log import EventLog
from eventstore.locks import lock_for_append
from eventstore.projection import Projection
from eventstore.schema import projection_state
from eventstore.streams.replayer import Replayer
from projections.rebuild.difference import Difference, differences_of, remove_surplus, write_difference
from projections.rebuild.scratch import Scratch

PAGE: Final = 500
Progress = Callable[[int, int], None]
"""Called with the position reached and the position to reach, which may rise."""


@dataclass(frozen=True)
class Rebuilt:
    """Up to which position, and how many live rows were not what the log makes of them."""

    position: int
    rows: dict[str, int]


def rebuild(
    log: EventLog, projections: Sequence[Projection], *, page: int = PAGE, progress: Progress | None = None
) -> Rebuilt:
    """Make the live rows equal to the fold of the log, in one step for every reader."""
    fold = _Fold(log, projections, page, progress)
    fold.begin()
    with _alone(log) as connection, fold.scratch.ours():
        fold.finish(connection)
        tables = fold.scratch.tables
        removed = {table.live.name: remove_surplus(connection, table) for table in reversed(tables)}
        rows = {
            table.live.name: removed[table.live.name] + write_difference(connection, table)
            for table in tables
        }
        for projection in projections:
            _note_maker(connection, projection)
        fold.scratch.leave()
    return Rebuilt(fold.position, rows)


def differences(
    log: EventLog, projections: Sequence[Projection], *, page: int = PAGE, progress: Progress | None = None
) -> list[Difference]:
    """Name every live row that is not what the log makes of it, and change nothing. No writer waits for it."""
    fold = _Fold(log, projections, page, progress)
    fold.begin()
    with _snapshot(log) as connection, fold.scratch.ours():
        fold.finish(connection)
        found = [each for table in fold.scratch.tables for each in differences_of(connection, table)]
        fold.scratch.leave()
    return found


class _Fold:
    """The log, folded into scratch tables up to `position`."""

    def __init__(
        self, log: EventLog, projections: Sequence[Projection], page: int, progress: Progress | None
    ) -> None:
        self.position = 0
        self.scratch: Final = Scratch(log.database, projections)
        self._log: Final = log
        self._replayer: Final = Replayer(log)
        self._page: Final = page
        self._progress: Final = progress

    def begin(self) -> None:
        """Fold what there is, and again, until a page is left or writers are faster: they wait for the rest."""
        self.scratch.take()
        events, before = self._fold(until=self._log.stable_position()), None
        while events > self._page and (before is None or events < before):
            events, before = self._fold(until=self._log.stable_position()), events
        self.scratch.analyze()

    def finish(self, connection: Connection) -> None:
        """Fold the rest: all events of this transaction, which the live rows are made of."""
        self._fold(until=connection.scalar(select(func.max(self._log.table.c.position))) or 0)

    def _fold(self, *, until: int) -> int:
        events = 0
        while recorded := self._log.read(after=self.position, until=until, limit=self._page):
            self.scratch.apply(self._replayer.changes(recorded))
            self.position = recorded[-1].position
            events += len(recorded)
            if self._progress is not None:
                self._progress(self.position, until)
        return events


@contextmanager
def _alone(log: EventLog) -> Generator[Connection]:
    # No unit of work: that one refuses rows made by other code, which is what a rebuild is there to heal.
    if log.database.in_transaction:
        raise NestedUnitError
    with log.database.write() as connection:
        lock_for_append(connection, log.table, None)
        yield connection


@contextmanager
def _snapshot(log: EventLog) -> Generator[Connection]:
    if log.database.in_transaction:
        raise NestedUnitError
    with log.database.write() as connection:
        if not log.database.is_sqlite:
            connection.execute(text("set transaction isolation level repeatable read"))
        yield connection


def _note_maker(connection: Connection, projection: Projection) -> None:
    row = {"name": projection.name, "fingerprint": projection.fingerprint}
    statement = upsert(connection, projection_state).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[projection_state.c.name], set_={"fingerprint": projection.fingerprint}
        )
    )
