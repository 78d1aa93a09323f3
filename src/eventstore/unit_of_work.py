"""What a command sees while it holds the append lock."""

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from eventstore.append import event_row, insert_rows
from eventstore.change import Change, Event, Recorded, of_class
from eventstore.envelope import Envelope
from eventstore.errors import AggregateNotFoundError, BrokenUnitError, VersionConflictError, is_duplicate
from eventstore.projection import into_live
from eventstore.streams.aggregate_cache import Tail

if TYPE_CHECKING:
    from eventstore.event_log import EventLog

A = TypeVar("A", bound=Aggregate)
logger = logging.getLogger("mastertape.eventstore")


class UnitOfWork:
    """One transaction that may append events of one account. Made by `EventLog.unit_of_work` only."""

    def __init__(
        self,
        log: "EventLog",
        connection: Connection,
        did: str | None,
        envelope: Envelope,
        locked_at: datetime | None,
    ) -> None:
        self.connection: Final = connection
        self.did: Final = did
        self.envelope: Final = envelope
        self._log: Final = log
        self._locked_at: Final = locked_at
        self._tails: dict[UUID, Tail] = {}
        self._collected: list[tuple[Aggregate, list[Event]]] = []
        self._callbacks: list[Callable[[], None]] = []
        self._broken = False

    @cached_property
    def now(self) -> datetime:
        """The database's time, read once, under the lock."""
        return self._log.database.now(self.connection, read=self._locked_at)

    def load(self, aggregate_class: type[A], aggregate_id: UUID) -> A:
        """The aggregate as of all events of its stream."""
        tail = self._log.tail(self.connection, aggregate_id)
        if tail is None or self._is_foreign(tail):
            raise AggregateNotFoundError(aggregate_class, aggregate_id)
        self._tails[aggregate_id] = tail
        return of_class(aggregate_class, deepcopy(tail.state))

    def save(self, *aggregates: Aggregate) -> list[Change]:
        """Append what the aggregates decided and bring every projection up to it, in this transaction."""
        try:
            changes = [change for aggregate in aggregates for change in self._append(aggregate)]
            if changes:
                for projection in self._log.projections:
                    projection.apply(self.connection, changes, into_live)
        except BaseException:
            self._broken = True
            raise
        return changes

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call it when, and only when, this unit has been committed."""
        self._callbacks.append(callback)

    def require_whole(self) -> None:
        """An error of `save` that somebody swallowed leaves half a change behind: never commit it."""
        if self._broken:
            raise BrokenUnitError

    def give_back(self) -> None:
        """Make the events pending again after a rollback, so that a second try can't lose them silently."""
        for aggregate, events in reversed(self._collected):
            aggregate.pending_events[:0] = events

    def committed(self) -> None:
        """Let the log know what is certain now, and tell whoever waits; the commit stands, whatever they do with it."""
        for aggregate_id, tail in self._tails.items():
            self._log.tails.put(aggregate_id, tail)
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                logger.exception("after_commit_callback_failed")

    def _append(self, aggregate: Aggregate) -> list[Change]:
        events = list(aggregate.collect_events())
        if not events:
            return []
        self._collected.append((aggregate, events))
        tail = self._tail_before(events[0], type(aggregate))
        recorded_at = max(self.now, tail.recorded_at) if tail is not None else self.now
        changes = self._insert(events, tail.state if tail is not None else None, recorded_at)
        last = changes[-1]
        self._tails[aggregate.id] = Tail(last.after, last.did, last.position, last.recorded_at)
        return changes

    def _tail_before(self, event: Event, aggregate_class: type[Aggregate]) -> Tail | None:
        if event.originator_version == aggregate_class.INITIAL_VERSION:
            return None
        if (tail := self._tails.get(event.originator_id)) is not None:
            return tail
        recorded = self._log.stream(
            self.connection, event.originator_id, upto_version=event.originator_version - 1
        )
        state = self._log.fold(aggregate_class, recorded)
        if state is None or self._is_foreign(recorded[-1]):
            raise AggregateNotFoundError(aggregate_class, event.originator_id)
        return Tail(state, recorded[-1].did, recorded[-1].position, recorded[-1].recorded_at)

    def _insert(
        self, events: Sequence[Event], before: Aggregate | None, recorded_at: datetime
    ) -> list[Change]:
        if self.did is None:
            msg = "an event belongs to an account: open the unit of work with a DID"
            raise ValueError(msg)
        stored = [self._log.codec.encode(event) for event in events]
        rows = [event_row(each, self.did, self.envelope, recorded_at) for each in stored]
        try:
            positions = insert_rows(self.connection, self._log.table, rows)
        except IntegrityError as error:
            if is_duplicate(error):
                raise VersionConflictError from error
            raise
        changes: list[Change] = []
        for position, each in zip(positions, stored, strict=True):
            # Decoded again, so that live state and replayed state can't differ, and nothing unreadable is committed.
            recorded = Recorded(
                position=position,
                did=self.did,
                version=each.originator_version,
                event=self._log.codec.decode(each),
                topic=each.topic,
                recorded_at=recorded_at,
                **vars(self.envelope),
            )
            before = changes[-1].after if changes else before
            changes.append(Change.of(recorded, before, appended_at=self.now))
        return changes

    def _is_foreign(self, last: Recorded | Tail) -> bool:
        return self.did is not None and last.did != self.did
