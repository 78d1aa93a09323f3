"""One transaction under the append lock: load aggregates, save what they decided. Events and projections commit together."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from aggregates.account import Account
from eventstore.append import append_rows, event_row
from eventstore.change import Change, Envelope, Event, RecordedEvent, copied, of_class
from eventstore.errors import AggregateNotFoundError, BrokenUnitError, VersionConflictError, is_duplicate
from eventstore.prepared import Query, Result, pipelined
from eventstore.projection import into_live
from eventstore.streams.aggregate_cache import StreamState

if TYPE_CHECKING:
    from eventstore.event_log import EventLog

A = TypeVar("A", bound=Aggregate)
ReadOfSave = Callable[[Connection, Sequence[Change]], None]
logger = logging.getLogger("mastertape.eventstore")


class _Appended(NamedTuple):
    """What is appended to one stream."""

    aggregate_id: UUID
    before: Aggregate | None
    stored: Sequence[StoredEvent]
    recorded_at: datetime


class UnitOfWork:
    """One transaction that may append events of one account. Made by `EventLog.unit_of_work` only."""

    def __init__(
        self,
        log: "EventLog",
        connection: Connection,
        did: str | None,
        envelope: Envelope,
        *,
        locked_at: datetime | None,
        read: Mapping[Query, Result],
    ) -> None:
        self.connection: Final = connection
        self.did: Final = did
        self.envelope: Final = envelope
        self._log: Final = log
        self._locked_at: Final = locked_at
        self._read: Final = dict(read)
        self._reads_of_save: Final[list[ReadOfSave]] = []
        self._states: dict[UUID, StreamState] = {}
        self._collected: list[tuple[Aggregate, list[Event]]] = []
        self._callbacks: list[Callable[[], None]] = []
        self._broken = False

    @cached_property
    def now(self) -> datetime:
        """The database's time, read once, while the lock is held."""
        return self._log.database.now(self.connection, read=self._locked_at)

    def read(self, query: Query) -> list[Any]:
        """Return the rows of a query; the first time, of one that was sent with the lock, what it read then."""
        sent = self._read.pop(query, None)
        return (sent or query.start(self.connection)).all()

    def load(self, aggregate_class: type[A], aggregate_id: UUID) -> A:
        """Return the aggregate in its latest state; raises AggregateNotFoundError where this account has none."""
        latest = self._log.latest(aggregate_id, self.read)
        if latest is None or self._is_foreign(latest):
            raise AggregateNotFoundError(aggregate_class, aggregate_id)
        self._states[aggregate_id] = latest
        return of_class(aggregate_class, copied(latest.state))

    def load_all(self, aggregate_class: type[A], aggregate_ids: Collection[UUID]) -> list[A]:
        """Do what `load` does for each of these, with one round trip for all."""
        with pipelined(self.connection):
            self._read.update({each: each.start(self.connection) for each in self._log.heads(aggregate_ids)})
        return [self.load(aggregate_class, each) for each in aggregate_ids]

    def save(self, *aggregates: Aggregate) -> list[Change]:
        """Append the pending events of the aggregates and apply every projection to them, in this transaction.

        Raises VersionConflictError where the stream has grown since the aggregate was loaded.
        """
        try:
            changes = self._append(aggregates)
            if changes:
                self._read.clear()  # it was read before these events
                with pipelined(self.connection):
                    for projection in self._log.projections:
                        projection.apply(self.connection, changes, into_live)
                    for read in self._reads_of_save:
                        read(self.connection, changes)
        except BaseException:
            self._broken = True
            raise
        return changes

    def with_save(self, read: ReadOfSave) -> None:
        """Call `read` in each save with its changes: it starts statements in the round trip of the projections, after them."""
        self._reads_of_save.append(read)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` once this unit has been committed; its errors are logged and ignored."""
        self._callbacks.append(callback)

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
            self._log.cache.put(aggregate_id, state)
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                logger.exception("after_commit_callback_failed")

    def _append(self, aggregates: Iterable[Aggregate]) -> list[Change]:
        appended = [each for aggregate in aggregates if (each := self._collect(aggregate)) is not None]
        if not appended:
            return []
        if self.did is None:
            msg = "an event belongs to an account: open the unit of work with a DID"
            raise ValueError(msg)
        rows = [
            event_row(stored, self.did, self.envelope, each.recorded_at)
            for each in appended
            for stored in each.stored
        ]
        try:
            positions = iter(append_rows(self.connection, rows))
        except IntegrityError as error:
            if is_duplicate(error):
                raise VersionConflictError from error
            raise
        changes: list[Change] = []
        for each in appended:
            of_stream = self._changes(self.did, each, positions)
            last = of_stream[-1]
            self._states[each.aggregate_id] = StreamState(
                last.after, last.did, last.position, last.recorded_at
            )
            changes += of_stream
        return changes

    def _collect(self, aggregate: Aggregate) -> "_Appended | None":
        events = list(aggregate.collect_events())
        if not events:
            return None
        self._collected.append((aggregate, events))
        before = self._before(events[0], type(aggregate))
        recorded_at = max(self.now, before.recorded_at) if before is not None else self.now
        stored = [self._log.codec.encode(event) for event in events]
        return _Appended(aggregate.id, before.state if before is not None else None, stored, recorded_at)

    def _before(self, event: Event, aggregate_class: type[Aggregate]) -> StreamState | None:
        if event.originator_version == aggregate_class.INITIAL_VERSION:
            return None
        if (loaded := self._states.get(event.originator_id)) is not None:
            return loaded
        recorded = self._log.stream(
            self.connection, event.originator_id, upto_version=event.originator_version - 1
        )
        state = self._log.fold(aggregate_class, recorded)
        if state is None or self._is_foreign(recorded[-1]):
            raise AggregateNotFoundError(aggregate_class, event.originator_id)
        return StreamState(state, recorded[-1].did, recorded[-1].position, recorded[-1].recorded_at)

    def _changes(self, did: str, appended: "_Appended", positions: Iterator[int]) -> list[Change]:
        changes: list[Change] = []
        before = appended.before
        for each in appended.stored:
            # Decoded again, so that live state and replayed state can't differ, and nothing unreadable is committed.
            recorded = RecordedEvent(
                position=next(positions),
                did=did,
                version=each.originator_version,
                event=self._log.codec.decode(each),
                topic=each.topic,
                recorded_at=appended.recorded_at,
                **vars(self.envelope),
            )
            changes.append(Change.of(recorded, before, appended_at=self.now))
            before = changes[-1].after
        return changes

    def _is_foreign(self, last: RecordedEvent | StreamState) -> bool:
        return self.did is not None and last.did != self.did


def account_of(unit: UnitOfWork) -> Account:
    """Return the account of the unit of work; one without events is opened. Raises ValueError without a DID."""
    if unit.did is None:
        msg = "an account's event belongs to an account: open the unit of work with a DID"
        raise ValueError(msg)
    try:
        return unit.load(Account, Account.create_id(unit.did))
    except AggregateNotFoundError:
        return Account.open(did=unit.did, at=unit.now)
