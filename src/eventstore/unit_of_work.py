"""One transaction under the append lock: load aggregates, save what they decided. Events and projections commit together."""

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent
from sqlalchemy.exc import DBAPIError, IntegrityError

from aggregates.accounts.account import Account
from eventstore.change import Change, Envelope, Event, RecordedEvent, StreamState, copied, of_class
from eventstore.errors import (
    LOCK_NOT_AVAILABLE,
    AggregateNotFoundError,
    BrokenUnitError,
    CommitFailedError,
    LogBusyError,
    VersionConflictError,
    is_duplicate,
    sqlstate,
)
from eventstore.projection import FINGERPRINTS, has_events, into_live, require_current
from eventstore.sql.database import MAX_CLOCK_LAG, require_same_server
from eventstore.sql.prepared import (
    DIVISION_BY_ZERO,
    PENDING,
    Assumption,
    Query,
    Result,
    StaleError,
    pipelined,
    prove,
    start_begin,
    start_commit,
)
from eventstore.streams.append import append_rows, event_row, lock_account, lock_log

if TYPE_CHECKING:
    from eventstore.event_log import EventLog

A = TypeVar("A", bound=Aggregate)
ReadOfSave = Callable[[sa.Connection, Sequence[Change]], None]
CheckOfSave = Callable[[Sequence[Change], int], None]
logger = logging.getLogger("mastertape.eventstore")


class UnitOfWork:
    """One transaction that may append events of one account. Made by `EventLog` only.

    It takes the lock as late as it can. Until then it goes on what this process knows of streams, and on what is expected;
    its first read takes the lock and proves that. A unit that reads nothing and saves one event is sent in one round trip:
    lock, proof, event, projections, commit. What is not so ends the unit with StaleError, and nothing was written.
    """

    begin: Callable[[], sa.Connection]

    def __init__(self, log: "EventLog", did: str | None, envelope: Envelope) -> None:
        self.did: Final = did
        self.envelope: Final = envelope
        self.log: Final = log
        self.next_record_at: Final[dict[str, datetime]] = {}
        """Of each collection, from when on the key for a new record is looked for: those before are taken."""
        self._connection: sa.Connection | None = None
        self._assumed: Final[list[Assumption]] = []
        self._assumed_now: datetime | None = None
        self._unsent: tuple[list[dict[str, Any]], list[Change]] = [], []
        self._locked_at: datetime | None = None
        self._checks_of_save: Final[list[CheckOfSave]] = []
        self._reads_of_save: Final[list[ReadOfSave]] = []
        self._states: dict[UUID, StreamState] = {}
        self._collected: list[tuple[Aggregate, list[Event]]] = []
        self._last_acts: Final[list[Callable[[sa.Connection], None]]] = []
        self._callbacks: list[Callable[[], object]] = []
        self._began_at: Final = monotonic()
        self._broken = self._is_stale = self._is_proved = False

    @property
    def account(self) -> str:
        """The DID; raises ValueError without one."""
        if self.did is None:
            msg = "an event belongs to an account: open the unit of work with a DID"
            raise ValueError(msg)
        return self.did

    @property
    def connection(self) -> sa.Connection:
        """The open transaction, under the append lock. Raises StaleError and LogBusyError."""
        if self._connection is None:
            self._send()
        assert self._connection is not None  # noqa: S101 - `_send` has set it
        return self._connection

    @property
    def is_unsent(self) -> bool:
        """Whether an event waits to be sent with the commit."""
        return self._connection is None and bool(self._unsent[0])

    @cached_property
    def now(self) -> datetime:
        """The database's time, read once, while the lock is held; before, a little behind it."""
        if self._connection is None and (estimated := self.log.database.estimated_now()) is not None:
            now, needs_proof = estimated
            self._assumed_now = now if needs_proof else None
            return now
        return self.log.database.now(self.connection, read=self._locked_at)

    def finds(self, query: Query, *, expected: bool) -> bool:
        """Return whether the query finds a row; before the lock is held, what is expected."""
        if self._connection is not None:
            return bool(query.start(self._connection).all())
        self._assumed.append(Assumption(query, expected))
        return expected

    def load(self, aggregate_class: type[A], aggregate_id: UUID) -> A:
        """Return the aggregate in its latest state; raises AggregateNotFoundError where this account has none."""
        if self._connection is None and (known := self._known(aggregate_id)) is not None:
            return self._loaded(aggregate_class, aggregate_id, known)
        latest = self.log.latest(self.account, aggregate_id, lambda query: query.start(self.connection).all())
        return self._loaded(aggregate_class, aggregate_id, latest)

    def load_all(self, aggregate_class: type[A], aggregate_ids: Collection[UUID]) -> list[A]:
        """Do what `load` does for each of these, with one round trip for all."""
        with pipelined(self.connection):
            sent = {
                query: query.start(self.connection) for query in self.log.heads(self.account, aggregate_ids)
            }

        def read(query: Query) -> list[Any]:
            return (sent.get(query) or query.start(self.connection)).all()

        latest = (self.log.latest(self.account, each, read) for each in aggregate_ids)
        return [self._loaded(aggregate_class, *each) for each in zip(aggregate_ids, latest, strict=True)]

    def save(self, *aggregates: Aggregate) -> list[Change]:
        """Append the pending events of the aggregates and apply every projection to them, in this transaction.

        Before the lock is held, one event waits until it is, and its position in the list is PENDING. Raises
        VersionConflictError where the stream has grown since the aggregate was loaded.
        """
        try:
            return self._save(aggregates)
        except BaseException:
            self._broken = True
            raise

    def before_save(self, check: CheckOfSave) -> None:
        """Call `check` in each save, before anything of it is written, with its changes and the bytes of their events."""
        self._checks_of_save.append(check)

    def with_save(self, read: ReadOfSave) -> None:
        """Call `read` in each save with its changes: it starts statements in the round trip of the projections, after them."""
        self._reads_of_save.append(read)

    def before_commit(self, act: Callable[[sa.Connection], None]) -> None:
        """Call `act` once all is saved, in this transaction: it may read, for which PostgreSQL takes round trips of its own."""
        self._last_acts.append(act)

    def after_commit(self, callback: Callable[[], object]) -> None:
        """Call `callback` once this unit has been committed; its errors are logged and ignored."""
        self._callbacks.append(callback)

    def lock(self) -> None:
        """Take the lock before anything else. Raises LogBusyError, and OutdatedProjectionError."""
        self._connection = connection = self.begin()
        require_same_server(connection)
        if self.did is None:
            start_begin(connection)
            lock_log(connection)
            return
        with _under_lock(connection):
            locked = lock_account(connection, self.did)
            made_by = FINGERPRINTS.start(connection, {}) if self.log.projections else None
        if made_by is not None:
            rows = made_by.all()
            if not rows and not has_events(connection):  # put back to before the first event
                self.log.has_entered = False
                raise LogBusyError
            require_current(self.log.projections, rows)
        self._locked_at = None if locked is None else locked.all()[0].now

    def finish(self) -> None:
        """Send and commit what was not sent, or leave the commit to the caller. Raises StaleError, CommitFailedError, BrokenUnitError."""
        if self._is_stale:
            raise StaleError
        if self._connection is None and (self._assumes or self._unsent[0]):
            self._send(commits=True)
        else:
            self.require_unbroken()
            if self._connection is not None:
                self._act_last(self._connection)

    def may_be_wrong(self, refusal: Exception) -> bool:
        """Whether this refusal was decided on what is not proved."""
        is_of_database = isinstance(refusal, DBAPIError | CommitFailedError | LogBusyError)
        return self._is_stale or (self._assumes and not self._is_proved and not is_of_database)

    @property
    def _assumes(self) -> bool:
        return bool(self._assumed) or self._assumed_now is not None

    def require_unbroken(self) -> None:
        """Raise BrokenUnitError where the caller swallowed an error of `save`: half a change must never be committed."""
        if self._broken:
            raise BrokenUnitError

    def restore_pending_events(self) -> None:
        """Make the events pending again after a rollback, so that a second attempt cannot succeed without them."""
        for aggregate, events in reversed(self._collected):
            aggregate.pending_events[:0] = events

    def publish(self) -> None:
        """Cache the committed states, and run the callbacks; an error of a callback cannot undo the commit."""
        for aggregate_id, state in self._states.items():
            self.log.cache.put(aggregate_id, state)
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                logger.exception("after_commit_callback_failed")

    def _send(self, *, commits: bool = False) -> None:
        """Lock, prove what was assumed, write what was saved, and commit, in one round trip."""
        try:
            if commits and self.log.database.is_sqlite:
                self.log.database.commit_in_group(partial(self._write, commits=True))
            else:
                self._write(self.begin(), commits=commits)
        except BaseException as error:
            self._broken, self._is_stale = True, isinstance(error, StaleError)
            raise
        self._is_proved = True

    def _write(self, connection: sa.Connection, *, commits: bool) -> None:
        self._connection = connection
        rows, changes = self._unsent
        is_sqlite = self.log.database.is_sqlite
        commits_at_once = commits and not self._last_acts
        if not is_sqlite:
            require_same_server(connection)
        elif monotonic() > self._began_at + MAX_CLOCK_LAG.total_seconds():
            raise StaleError  # its time has passed: it has waited for its turn
        with _under_lock(connection, commits=commits_at_once):
            locked = lock_account(connection, self.account, self._assumed_now)
            first = (
                [] if is_sqlite else [one for each in self.log.early.values() for one in each.first(changes)]
            )
            prove(connection, [*self.log.standing, *self._assumed, *first])
            inserted = append_rows(connection, rows) if rows else []
            if is_sqlite:
                self._place(changes, inserted)
            if changes:
                self._apply(connection, changes, first_are_written=bool(first))
            self.require_unbroken()
            if commits_at_once:
                start_commit(connection)
        if not is_sqlite:
            self._place(changes, inserted)
        if locked is not None:
            self._locked_at = self.log.database.heard(locked.all()[0].now)
        if commits and not commits_at_once:
            self._act_last(connection)
            with _under_lock(connection, commits=True):
                start_commit(connection)

    def _act_last(self, connection: sa.Connection) -> None:
        for act in self._last_acts:
            act(connection)

    def _known(self, aggregate_id: UUID) -> StreamState | None:
        """Take the stream to be as it is cached; what this unit itself has saved needs no proof."""
        if aggregate_id not in self._states and (cached := self.log.cache.get(aggregate_id)) is not None:
            self._assumed.append(Assumption(self.log.is_head(aggregate_id, cached), finds=True))
            self._states[aggregate_id] = cached
        return self._states.get(aggregate_id)

    def _loaded(self, aggregate_class: type[A], aggregate_id: UUID, latest: StreamState | None) -> A:
        if latest is None or self._is_foreign(latest):
            raise AggregateNotFoundError(aggregate_id)
        self._states[aggregate_id] = latest
        return of_class(aggregate_class, copied(latest.state))

    def _save(self, aggregates: Iterable[Aggregate]) -> list[Change]:
        saved = [each for aggregate in aggregates for each in self._collect(aggregate)]
        rows = [event_row(stored, self.account, self.envelope, of.recorded_at) for stored, of in saved]
        changes = [change for _, change in saved]
        if not rows:
            return []
        for check in self._checks_of_save:
            check(changes, sum(len(row["state"]) for row in rows))
        if self._connection is None and (self._unsent[0] or len(rows) > 1):
            self._send()  # read models of several events need to know their positions
        if self._connection is None:
            self._unsent = rows, changes
            return changes
        try:
            with pipelined(self._connection) if len(rows) > 1 else nullcontext():
                inserted = append_rows(self._connection, rows)
        except IntegrityError as error:
            if is_duplicate(error):
                raise VersionConflictError from error
            raise
        self._place(changes, inserted)
        with pipelined(self._connection):
            self._apply(self._connection, changes)
        return changes

    def _apply(
        self, connection: sa.Connection, changes: Sequence[Change], *, first_are_written: bool = False
    ) -> None:
        for projection in self.log.projections:
            if first_are_written and (early := self.log.early.get(projection.name)) is not None:
                early.apply_rest(connection, changes)
            else:
                projection.apply(connection, changes, into_live)
        for read in self._reads_of_save:
            read(connection, changes)

    def _place(self, changes: list[Change], inserted: Sequence[Result]) -> None:
        """Put the positions in their place, now that they are known."""
        for change, result in zip(changes, inserted, strict=True):
            change.position = result.all()[0].position
            self._states[change.aggregate_id] = change.stream_state

    def _collect(self, aggregate: Aggregate) -> Iterator[tuple[StoredEvent, Change]]:
        """Yield the pending events as they are stored, each with its change, whose position only the database knows."""
        if not (events := list(aggregate.collect_events())):
            return
        self._collected.append((aggregate, events))
        known = self._before(events[0], type(aggregate))
        before, recorded_at = None, self.now
        if known is not None:
            before, recorded_at = known.state, max(self.now, known.recorded_at)
        for event in events:
            stored = self.log.codec.encode(event)
            # Decoded again, so that live state and replayed state can't differ, and nothing unreadable is committed.
            recorded = RecordedEvent(
                position=PENDING,
                did=self.account,
                version=stored.originator_version,
                event=self.log.codec.decode(stored),
                topic=stored.topic,
                recorded_at=recorded_at,
                **vars(self.envelope),
            )
            change = Change.of(recorded, before, appended_at=self.now)
            before = change.after
            yield stored, change
        self._states[aggregate.id] = change.stream_state

    def _before(self, event: Event, aggregate_class: type[Aggregate]) -> StreamState | None:
        if event.originator_version == aggregate_class.INITIAL_VERSION:
            return None
        stream, version = event.originator_id, event.originator_version - 1
        before = self._states.get(stream)
        if before is None or before.state.version != version:
            before = self.log.state_at(self.connection, self.account, stream, version)
        if before is None or self._is_foreign(before):
            raise AggregateNotFoundError(stream)
        return before

    def _is_foreign(self, state: StreamState) -> bool:
        return self.did is not None and state.did != self.did


@contextmanager
def _under_lock(connection: sa.Connection, *, commits: bool = False) -> Generator[None]:
    """Send what is inside in one round trip, which begins with the lock."""
    try:
        with pipelined(connection):
            start_begin(connection)
            yield
    except DBAPIError as error:
        state, is_sqlite = sqlstate(error), connection.dialect.name == "sqlite"
        if commits and not is_sqlite and (state is None or error.connection_invalidated):
            raise CommitFailedError from error
        if state == LOCK_NOT_AVAILABLE:
            raise LogBusyError from error
        if state == DIVISION_BY_ZERO or is_duplicate(error):
            raise StaleError from error
        raise


def account_of(unit: UnitOfWork) -> Account:
    """Return the account of the unit of work; one without events is opened. Raises ValueError without a DID."""
    try:
        return unit.load(Account, Account.create_id(unit.account))
    except AggregateNotFoundError:
        return Account.open(did=unit.account, at=unit.now)
