"""Rebuilds read models from the log, beside live traffic.

1. Replay the log page by page into scratch tables, temporary ones of one connection, up to a stable position; on Citus into
   tables that lie beside the live ones.
2. Compare, and replay what was appended meanwhile. No writer waits for it.
3. In one transaction that locks the log: replay the rest, write what differed and still does, and what differs of the
   subjects of the events since; record the fingerprint of the code, and request the job of the last step.
4. Make anew the rows that jobs make of read models, such as counts. A worker does it if this process ends before.
"""

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import sqlalchemy as sa
from eventsourcing.domain import Aggregate
from sqlalchemy.exc import DBAPIError

from aggregates.accounts.account import Account
from aggregates.published import Owned
from eventstore.change import Change, RecordedEvent
from eventstore.errors import NestedUnitError
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import IS_WAITING, job
from eventstore.projection import (
    Carried,
    CarriedTable,
    ProjectedTable,
    Projection,
    carried_by,
    into_scratch,
    write_rows,
)
from eventstore.sql.cluster import distribute_scratch, drop_scratch, is_distributed
from eventstore.sql.schema import projection_state, stored_event
from eventstore.streams.append import lock_log
from projections.reactions import REACTION
from projections.rebuild.difference import (
    Difference,
    Scope,
    differences_of,
    remove_surplus,
    subjects_that_differ,
    write_difference,
)

if TYPE_CHECKING:
    from uuid import UUID


MARKER: Final = "scratch"
"""The row of projection_state that says how far the newest run is; it stays where a crash cut that off."""
MAX_STATES: Final = 4096
EVENTS_PER_PAGE: Final = 2000
"""Only the newest state of a track in a page is written; a page takes about 10 MB."""
FEW_EVENTS: Final = 20
SAYING_SECONDS: Final = 2.0
"""Between two records of the progress: on SQLite each keeps an edit waiting."""
Progress = Callable[[int, int], None]
"""Called with the position reached, and the position to reach, which may rise."""
row: Final = projection_state.c


RECOUNT: Final = "recount"
"""The kind, and the subject, of the job that makes anew the rows which jobs make of read models."""


class ReplayWork(StrEnum):
    REBUILD = "rebuild"
    COMPARISON = "comparison"


class Replayer:
    """Folds events that come in position order, page by page, and caches the states used last.

    A state that was evicted is read again from the log, so memory is bounded by `max_states` aggregates.
    """

    def __init__(self, log: EventLog, *, max_states: int = MAX_STATES) -> None:
        self._log: Final = log
        self._max_states: Final = max_states
        self._states: OrderedDict[UUID, Aggregate] = OrderedDict()

    def changes(self, page: Iterable[RecordedEvent]) -> list[Change]:
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
            prefix = self._log.stream(
                connection, recorded.did, recorded.aggregate_id, upto_version=recorded.version - 1
            )
        return self._log.fold(Aggregate, prefix)


@dataclass(eq=False)
class Scratch:
    """The scratch tables of some projections: the log up to `position`; nothing of a run waits for another one."""

    log: EventLog
    connection: sa.Connection
    projections: Sequence[Projection]
    page: int
    progress: Progress | None
    carried: Sequence[CarriedTable] = ()
    position: int = 0
    subjects: dict[ProjectedTable, set[Any]] = field(default_factory=dict)
    """Of all events since `settle`."""
    _run: str = field(default_factory=lambda: uuid4().hex)
    _said_at: float = -SAYING_SECONDS
    _is_distributed: bool = False

    def __post_init__(self) -> None:
        self.tables = tuple(table for each in self.projections for table in each.tables)
        self._into = into_scratch(self.tables)
        self._replayer = Replayer(self.log)

    def begin(self, work: ReplayWork) -> None:
        with self.connection.begin():
            scratch = [table.scratch for table in (*self.tables, *(each.table for each in self.carried))]
            for table in scratch:
                table.create(self.connection, checkfirst=False)
            if is_distributed(self.connection, stored_event.name):
                self._is_distributed = True
                names = (table.name for table in scratch)
                distribute_scratch(self.connection, names, beside=stored_event.name)
        read_models = " ".join(projection.name for projection in self.projections)
        run = {"name": MARKER, "fingerprint": self._run, "work": work, "read_models": read_models}
        with self.log.database.write() as connection:
            now = self.log.database.now(connection)
            at = {"position": 0, "head": 0, "began_at": now, "moved_at": now}
            write_rows(connection, projection_state, [{**run, **at}])

    def catch_up(self) -> None:
        """Replay until few events are left, or writers are faster: `finish` replays the rest, and writers wait for it."""
        events, before = self._replay(until=self.log.stable_position()), None
        while events > FEW_EVENTS and (before is None or events < before):
            events, before = self._replay(until=self.log.stable_position()), events

    def settle(self) -> None:
        """Prepare for a comparison in one pass, and collect the subjects of what is replayed from now on."""
        self.subjects = {table: set() for table in self.tables}
        if not self.log.database.is_sqlite:
            with self.connection.begin():
                for table in self.tables:
                    key = ", ".join(table.scratch.c[column].name for column in {*table.key, table.about})
                    self.connection.execute(sa.text(f'analyze "{table.scratch.name}" ({key})'))

    def finish(self) -> None:
        """Replay the rest: all events that the transaction of the scratch tables sees, which the live rows are made of."""
        self._replay(until=self.connection.scalar(sa.select(sa.func.max(stored_event.c.position))) or 0)

    def _replay(self, *, until: int) -> int:
        events = 0
        is_last = self.connection.in_transaction()
        while self.position < until:
            with _without_collector(), nullcontext() if is_last else self.connection.begin():
                recorded = self.log.read(
                    after=self.position, until=until, limit=self.page, on=self.connection
                )
                changes = self._replayer.changes(recorded)
                for projection in self.projections if changes else ():
                    projection.apply(self.connection, changes, self._into)
                for table, subjects in self.subjects.items():
                    subjects.update(_subjects_of(self.connection, table, changes))
                self.position = recorded[-1].position if recorded else until
                events += len(recorded)
            if not is_last and time.monotonic() >= self._said_at + SAYING_SECONDS:
                self._say(until)
            if self.progress is not None:
                self.progress(self.position, until)
        return events

    def _say(self, head: int) -> None:
        self._said_at = time.monotonic()
        with self.log.database.write() as connection:
            reached = {
                "position": self.position,
                "head": head,
                "moved_at": self.log.database.now(connection),
            }
            connection.execute(sa.update(projection_state).where(*self._is_this_run()).values(reached))

    def carried_differences(self) -> list[Difference]:
        """Return the rows of the carried tables that are not what the live rows make of them, and that no job is still to change."""
        if not self.log.database.is_sqlite:
            self.connection.execution_options(isolation_level="REPEATABLE READ")
        with self.connection.begin():
            found = list[tuple[CarriedTable, Difference]]()
            for each in self.carried:
                self.connection.execute(sa.delete(each.table.scratch))
                each.fill(self.connection, each.table.scratch)
                found += [(each, differs) for _, differs in differences_of(self.connection, each.table)]
            query = sa.select(job.c.subject).where(job.c.kind == REACTION, IS_WAITING)
            waiting = {name.rpartition("/")[0] for name in self.connection.scalars(query)} if found else ()
        return [
            differs
            for each, differs in found
            if each.job_of is None or each.job_of(differs.key) not in waiting
        ]

    def end(self) -> None:
        with self.log.database.write() as connection:
            connection.execute(sa.delete(projection_state).where(*self._is_this_run()))

    def drop(self) -> None:
        if self._is_distributed:
            with suppress(DBAPIError):  # the next run does it
                self.connection.rollback()
                with self.connection.begin():
                    drop_scratch(self.connection)

    def _is_this_run(self) -> Sequence[Any]:
        return row.name == MARKER, row.fingerprint == self._run


@contextmanager
def _without_collector() -> Generator[None]:
    """Keep the garbage collector from the many objects of a page: they are in no cycles, and few are left after it."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def scratch_of(
    log: EventLog, projections: Sequence[Projection], work: ReplayWork, page: int, progress: Progress | None
) -> Generator[Scratch]:
    """Make the tables for a run, which ends with the block; raises PooledConnectionError where a pooler would lose them."""
    database = log.database
    if database.in_transaction:
        raise NestedUnitError
    database.require_direct()
    with database.engine.connect() as connection:
        if database.is_sqlite:  # the usual folder may be small, or in memory
            folder = str(Path(str(connection.engine.url.database)).resolve().parent).replace("'", "''")
            driver: Any = connection.connection.driver_connection
            driver.execute(f"pragma temp_store_directory = '{folder}'").close()
            driver.execute("pragma temp.journal_mode = off").close()  # a run that fails keeps nothing of them
        carried = carried_by(projections) if work is ReplayWork.COMPARISON else ()
        scratch = Scratch(log, connection, projections, page, progress, carried)
        try:
            scratch.begin(work)
            yield scratch
            scratch.end()
        finally:
            scratch.drop()
            connection.invalidate()  # closes it, with its tables


def run_under_way(connection: sa.Connection) -> sa.Row[Any] | None:
    """Return the row of the newest run; one that a crash cut off stays until the next one."""
    is_known = row.work.is_not(None)  # earlier versions recorded no progress
    return connection.execute(sa.select(projection_state).where(row.name == MARKER, is_known)).one_or_none()


def _subjects_of(
    connection: sa.Connection, table: ProjectedTable, changes: Iterable[Change]
) -> Iterable[Any]:
    """Yield the subjects of which the changes may have made rows: those of a deleted account are all."""
    about = table.scratch.c[table.about]
    for change in changes:
        if table.about == stored_event.c.position.key:
            yield change.position
        elif isinstance(change.after, Owned):
            yield change.after.subject_id
        elif isinstance(change.event, Account.Left) and (did := table.scratch.c.get("did")) is not None:
            yield from connection.scalars(sa.select(about).where(did == change.did))


def rebuild(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Make the live rows what the log makes of them, and return by table how many differed; readers see the change in one step.

    Raises LogBusyError, PooledConnectionError, and NestedUnitError in a transaction.
    """
    with scratch_of(log, projections, ReplayWork.REBUILD, page, progress) as scratch:
        connection, tables = scratch.connection, scratch.tables
        scratch.catch_up()
        scratch.settle()
        with connection.begin():
            differing = {table: subjects_that_differ(connection, table) for table in tables}
        scratch.catch_up()
        # no unit of work: it refuses rows that other code made, and a rebuild exists to replace those
        connection.execution_options(sqlite_immediate=True)
        with connection.begin():
            lock_log(connection)
            scratch.finish()
            scopes: dict[object, Scope] = {
                table: None if subjects is None else subjects | scratch.subjects[table]
                for table, subjects in differing.items()
            }
            rows = {
                table.live.name: remove_surplus(connection, table, scopes[table])
                for table in reversed(tables)
            }
            for table in tables:
                rows[table.live.name] += write_difference(connection, table, scopes[table])
            made = [{"name": each.name, "fingerprint": each.fingerprint} for each in projections]
            write_rows(connection, projection_state, made)
            if carried := any(isinstance(each, Carried) for each in projections):
                # without the job the old numbers would pass for new ones where this process ends before the next step
                queue.request(connection, [Wanted(RECOUNT, RECOUNT)], log.database.now(connection))
    if carried:
        # apart: commands wait for the log's lock, and not for this
        carry_all(log, projections)
    return rows


def carry_all(log: EventLog, projections: Sequence[Projection]) -> None:
    """Make anew the rows that jobs make of these read models."""
    with log.database.write() as connection:
        for carry in dict.fromkeys(each.carry_all for each in projections if isinstance(each, Carried)):
            carry(connection)
        queue.cancel(connection, RECOUNT, RECOUNT)


def differences(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> list[Difference]:
    """Name every live row that is not what the log makes of it, and change nothing. No writer waits for it.

    Rows of subjects with events meanwhile are compared again: the nodes of a cluster have no common snapshot.
    """
    found = list[Difference]()
    with scratch_of(log, projections, ReplayWork.COMPARISON, page, progress) as scratch:
        scopes: dict[ProjectedTable, Scope] = dict.fromkeys(scratch.tables)
        while scopes:
            scratch.catch_up()
            scratch.settle()
            with scratch.connection.begin():
                differing = {
                    table: list(differences_of(scratch.connection, table, scope))
                    for table, scope in scopes.items()
                }
            scratch.catch_up()
            scopes = {}
            for table, rows in differing.items():
                found += [each for subject, each in rows if subject not in scratch.subjects[table]]
                if again := scratch.subjects[table].intersection(subject for subject, _ in rows):
                    scopes[table] = again
        if carried := scratch.carried_differences():
            still = scratch.carried_differences()
            found += [each for each in carried if each in still]
    return found
