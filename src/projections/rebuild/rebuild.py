"""Rebuilds read models from the log, beside live traffic.

1. Replay the log page by page into scratch tables, up to a stable position.
2. Compare in a snapshot, and replay and compare again what was appended meanwhile. No writer waits for it.
3. In one transaction that locks the log: replay the rest, write what differed and still does, and what differs of the
   subjects of the events since; record the fingerprint of the code.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventsourcing.domain import Aggregate
from sqlalchemy import Connection, func, select, text

from aggregates.account import Account
from aggregates.published import Published
from eventstore.append import upsert
from eventstore.change import Change, RecordedEvent
from eventstore.errors import NestedUnitError
from eventstore.event_log import EventLog
from eventstore.locks import lock_log
from eventstore.projection import ProjectedTable, Projection
from eventstore.schema import projection_state, stored_event
from projections.rebuild.difference import (
    Difference,
    Scope,
    differences_of,
    remove_surplus,
    subjects_that_differ,
    write_difference,
)
from projections.rebuild.scratch import ReplayWork, Scratch, scratch_of

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
"""Only the newest state of a track in a page is written; a page takes about 10 MB."""
FEW_EVENTS: Final = 20
COMPARISONS: Final = 2
"""The first compares all rows, and takes long; the second those of which there were events meanwhile."""
Progress = Callable[[int, int], None]
"""Called with the position reached, and the position to reach, which may rise."""


def subjects_of(connection: Connection, table: ProjectedTable, changes: Iterable[Change]) -> Iterable[Any]:
    """Yield the subjects of which the changes may have made rows: those of a deleted account are all."""
    about = table.scratch.c[table.about]
    for change in changes:
        if table.about == stored_event.c.position.key:
            yield change.position
        elif isinstance(change.after, Published):
            yield change.after.subject_id
        elif isinstance(change.event, Account.Left) and (did := table.scratch.c.get("did")) is not None:
            yield from connection.scalars(select(about).where(did == change.did))


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

    Raises LogBusyError, PooledConnectionError, and NestedUnitError in a transaction.
    """
    with _replay_of(log, projections, page, progress, ReplayWork.REBUILD) as replay:
        scratch, connection = replay.scratch, replay.scratch.connection
        replay.catch_up()
        scratch.analyze()
        differing: Mapping[ProjectedTable, Scope] = dict.fromkeys(scratch.tables)
        for _ in range(COMPARISONS):
            since = replay.since_compared(differing)
            with _snapshot(log, connection):
                differing = {
                    table: subjects_that_differ(connection, table, scope) for table, scope in since.items()
                }
            replay.catch_up()
        with _locked(connection):
            replay.finish()
            scopes = replay.since_compared(differing)
            removed = {
                table: remove_surplus(connection, table, scopes[table]) for table in reversed(scratch.tables)
            }
            rows = {
                table.live.name: removed[table] + write_difference(connection, table, scopes[table])
                for table in scratch.tables
            }
            for projection in projections:
                row = {"name": projection.name, "fingerprint": projection.fingerprint}
                statement = upsert(connection, projection_state).values(row)
                connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=[projection_state.c.name], set_={"fingerprint": projection.fingerprint}
                    )
                )
    return Rebuilt(replay.position, rows)


def differences(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> list[Difference]:
    """Name every live row that is not what the log makes of it, and change nothing. No writer waits for it."""
    with _replay_of(log, projections, page, progress, ReplayWork.COMPARISON) as replay:
        replay.catch_up()
        replay.scratch.analyze()
        connection = replay.scratch.connection
        with _snapshot(log, connection):
            replay.finish()
            return [each for table in replay.scratch.tables for each in differences_of(connection, table)]


class _ScratchReplay:
    """Replays the log into scratch tables, up to `position`."""

    def __init__(self, log: EventLog, scratch: Scratch, page: int, progress: Progress | None) -> None:
        self.position = 0
        self.scratch: Final = scratch
        self._log: Final = log
        self._replayer: Final = Replayer(log)
        self._page: Final = page
        self._progress: Final = progress
        self._subjects: dict[ProjectedTable, set[Any]] | None = None

    def catch_up(self) -> None:
        """Replay until few events are left, or writers are faster: `finish` replays the rest, and writers wait for it."""
        events, before = self._replay(until=self._log.stable_position()), None
        while events > FEW_EVENTS and (before is None or events < before):
            events, before = self._replay(until=self._log.stable_position()), events

    def finish(self) -> None:
        """Replay the rest: all events that the transaction of the scratch tables sees, which the live rows are made of."""
        self._replay(until=self.scratch.connection.scalar(select(func.max(stored_event.c.position))) or 0)

    def since_compared(self, scopes: Mapping[ProjectedTable, Scope]) -> dict[ProjectedTable, Scope]:
        """Add to the scopes the subjects of all events since this was called the last time."""
        since, self._subjects = self._subjects or {}, {table: set() for table in scopes}
        return {
            table: scope if scope is None else scope | since.get(table, set())
            for table, scope in scopes.items()
        }

    def _replay(self, *, until: int) -> int:
        events, connection = 0, self.scratch.connection
        is_last = connection.in_transaction()
        while self.position < until:
            with nullcontext() if is_last else connection.begin():
                recorded = self._log.read(after=self.position, until=until, limit=self._page, on=connection)
                changes = self._replayer.changes(recorded)
                self.scratch.apply(changes)
                for table, subjects in (self._subjects or {}).items():
                    subjects.update(subjects_of(connection, table, changes))
            self.position = recorded[-1].position if recorded else until
            events += len(recorded)
            if not is_last:
                self.scratch.reached(self.position, until)
            if self._progress is not None:
                self._progress(self.position, until)
        return events


@contextmanager
def _replay_of(
    log: EventLog,
    projections: Sequence[Projection],
    page: int,
    progress: Progress | None,
    work: ReplayWork,
) -> Generator[_ScratchReplay]:
    if log.database.in_transaction:
        raise NestedUnitError
    with scratch_of(log.database, projections, work) as scratch:
        yield _ScratchReplay(log, scratch, page, progress)


@contextmanager
def _locked(connection: Connection) -> Generator[None]:
    # No unit of work: it refuses rows that other code made, and a rebuild exists to replace those.
    connection.execution_options(sqlite_immediate=True)
    with connection.begin():
        lock_log(connection)
        yield


@contextmanager
def _snapshot(log: EventLog, connection: Connection) -> Generator[None]:
    with connection.begin():
        if not log.database.is_sqlite:
            connection.execute(text("set transaction isolation level repeatable read"))
        yield
