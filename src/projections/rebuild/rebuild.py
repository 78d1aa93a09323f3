"""Rebuilds read models from the log, beside live traffic.

1. Replay the log page by page into scratch tables, up to a stable position; again for the events since, until a page
   is enough.
2. In one transaction that locks the log: replay the rest, write only the rows that differ, record the fingerprint of
   the code.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventsourcing.domain import Aggregate
from sqlalchemy import Connection, func, select, text

from eventstore.append import upsert
from eventstore.change import Change, RecordedEvent
from eventstore.errors import NestedUnitError
from eventstore.event_log import EventLog
from eventstore.locks import lock_log
from eventstore.projection import Projection
from eventstore.schema import projection_state, stored_event
from projections.rebuild.difference import Difference, differences_of, remove_surplus, write_difference
from projections.rebuild.scratch import ReplayWork, Scratch

if TYPE_CHECKING:
    from uuid import UUID

MAX_STATES: Final = 4096


class Replayer:
    """Folds events that come in position order, page by page, and caches the states used last.

    A state that was evicted is read again from the log, so memory is bounded by `max_states` aggregates.
    """

    def __init__(self, log: EventLog, *, max_states: int = MAX_STATES) -> None:
        self._log: Final = log
        self._max_states: Final = max_states
        self._states: OrderedDict[UUID, Aggregate] = OrderedDict()

    def changes(self, page: Iterable[RecordedEvent]) -> list[Change]:
        """Return the page's events, each with the states around it."""
        return [self._change(recorded) for recorded in page]

    def _change(self, recorded: RecordedEvent) -> Change:
        change = Change.of(recorded, self._before(recorded))
        self._states[recorded.aggregate_id] = change.after
        if len(self._states) > self._max_states:
            self._states.popitem(last=False)
        return change

    def _before(self, recorded: RecordedEvent) -> Aggregate | None:
        if recorded.version == Aggregate.INITIAL_VERSION:
            return None
        state = self._states.pop(recorded.aggregate_id, None)
        if state is not None and state.version == recorded.version - 1:
            return state
        with self._log.database.read() as connection:
            prefix = self._log.stream(connection, recorded.aggregate_id, upto_version=recorded.version - 1)
        return self._log.fold(Aggregate, prefix)


EVENTS_PER_PAGE: Final = 2000
"""Only the newest state of a track in a page is written; a page takes about 10 MB, and writers wait for the last one."""
Progress = Callable[[int, int], None]
"""Called with the position reached, and the position to reach, which may rise."""


@dataclass(frozen=True)
class Rebuilt:
    """The position of the last event, and the number of live rows that differed, by table."""

    position: int
    rows: dict[str, int]


def rebuild(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> Rebuilt:
    """Make the live rows what the log makes of them; readers see the change in one step.

    Raises LogBusyError, NestedUnitError in a transaction, and OvertakenError when another run took the scratch tables.
    """
    replay = _ScratchReplay(log, projections, page, progress, ReplayWork.REBUILD)
    replay.begin()
    with _locked(log) as connection, replay.scratch.ours():
        replay.finish(connection)
        tables = replay.scratch.tables
        removed = {table.live.name: remove_surplus(connection, table) for table in reversed(tables)}
        rows = {
            table.live.name: removed[table.live.name] + write_difference(connection, table)
            for table in tables
        }
        for projection in projections:
            row = {"name": projection.name, "fingerprint": projection.fingerprint}
            statement = upsert(connection, projection_state).values(row)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[projection_state.c.name], set_={"fingerprint": projection.fingerprint}
                )
            )
        replay.scratch.leave()
    return Rebuilt(replay.position, rows)


def differences(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> list[Difference]:
    """Name every live row that is not what the log makes of it, and change nothing. No writer waits for it."""
    replay = _ScratchReplay(log, projections, page, progress, ReplayWork.COMPARISON)
    replay.begin()
    with _snapshot(log) as connection, replay.scratch.ours():
        replay.finish(connection)
        found = [each for table in replay.scratch.tables for each in differences_of(connection, table)]
        replay.scratch.leave()
    return found


class _ScratchReplay:
    """Replays the log into scratch tables, up to `position`."""

    def __init__(
        self,
        log: EventLog,
        projections: Sequence[Projection],
        page: int,
        progress: Progress | None,
        work: ReplayWork,
    ) -> None:
        self.position = 0
        self.scratch: Final = Scratch(log.database, projections, work)
        self._log: Final = log
        self._replayer: Final = Replayer(log)
        self._page: Final = page
        self._progress: Final = progress

    def begin(self) -> None:
        """Replay until at most a page is left, or writers are faster: `finish` replays the rest, and writers wait for it."""
        self.scratch.take()
        events, before = self._replay(until=self._log.stable_position()), None
        while events > self._page and (before is None or events < before):
            events, before = self._replay(until=self._log.stable_position()), events
        self.scratch.analyze()

    def finish(self, connection: Connection) -> None:
        """Replay the rest: all events that this transaction sees, which the live rows are made of."""
        self._replay(until=connection.scalar(select(func.max(stored_event.c.position))) or 0)

    def _replay(self, *, until: int) -> int:
        events = 0
        while recorded := self._log.read(after=self.position, until=until, limit=self._page):
            position = recorded[-1].position
            self.scratch.apply(self._replayer.changes(recorded), position=position, head=until)
            self.position = position
            events += len(recorded)
            if self._progress is not None:
                self._progress(self.position, until)
        return events


@contextmanager
def _locked(log: EventLog) -> Generator[Connection]:
    # No unit of work: it refuses rows that other code made, and a rebuild exists to replace those.
    if log.database.in_transaction:
        raise NestedUnitError
    with log.database.write() as connection:
        lock_log(connection)
        yield connection


@contextmanager
def _snapshot(log: EventLog) -> Generator[Connection]:
    if log.database.in_transaction:
        raise NestedUnitError
    with log.database.write() as connection:
        if not log.database.is_sqlite:
            connection.execute(text("set transaction isolation level repeatable read"))
        yield connection
