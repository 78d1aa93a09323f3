"""Recorders of the `eventsourcing` library on the log's tables: the library's conformance tests prove the log's SQL through them."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from eventsourcing import persistence
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    StoredEvent,
    Subscription,
)
from sqlalchemy import Row, Table, exc, func, select

from eventstore.append import event_row, insert_rows
from eventstore.change import Envelope
from eventstore.database import Database
from eventstore.locks import lock_for_append, stable_position

DID = "did:plc:library"
ENVELOPE = Envelope(actor=DID, via="library", request_id="r-1")


@contextmanager
def library_errors() -> Generator[None]:
    """Raise the library's error of the same name."""
    try:
        yield
    except exc.DBAPIError as error:
        raise getattr(persistence, type(error).__name__)(str(error)) from error


class LogAggregateRecorder(AggregateRecorder):
    """Appends and reads streams."""

    def __init__(self, database: Database, events: Table) -> None:
        self.database = database
        self.events = events

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        self.append(stored_events)
        return None

    def append(self, stored_events: Sequence[StoredEvent]) -> list[int]:
        """Append as a unit of work does; return the positions."""
        with library_errors(), self.database.write() as connection:
            lock_for_append(connection, self.events, DID)
            now = self.database.now(connection)
            rows = [event_row(stored, DID, ENVELOPE, now) for stored in stored_events]
            return insert_rows(connection, self.events, rows)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        log = self.events.c
        query = select(log.originator_version, log.topic, log.state)
        query = query.where(log.originator_id == str(originator_id)).limit(limit)
        if gt is not None:
            query = query.where(log.originator_version > gt)
        if lte is not None:
            query = query.where(log.originator_version <= lte)
        version = log.originator_version
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(version.desc() if desc else version))
            return [StoredEvent(originator_id, r.originator_version, r.topic, r.state) for r in rows]


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Reads all events in the order of their positions, too."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        return self.append(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events up to the stable position: a reader that goes on after the last one misses nothing."""
        first = (start or 0) + (0 if inclusive_of_start else 1)
        log = self.events.c
        query = select(self.events).order_by(log.position).limit(limit)
        if topics:
            query = query.where(log.topic.in_(topics))
        stable = stable_position(self.database, self.events)
        last = stable if stop is None else min(stop, stable)
        with self.database.read() as connection:
            rows = connection.execute(query.where(log.position.between(first, last)))
            return [_notification(row) for row in rows]

    def max_notification_id(self) -> int | None:
        with self.database.read() as connection:
            newest: int | None = connection.scalar(select(func.max(self.events.c.position)))
            return newest

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        raise NotImplementedError


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        id=row.position,
        originator_id=row.originator_id,
        originator_version=row.originator_version,
        topic=row.topic,
        state=row.state,
    )
