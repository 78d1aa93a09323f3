"""The recorders of the `eventsourcing` library, on the log's tables.

They serve the library's own applications, and its conformance tests prove the SQL that `EventLog` shares with
them. They apply no projections: what the service writes goes through a unit of work.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from eventsourcing import persistence
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)
from sqlalchemy import Connection, Row, Table, exc, func, select

from eventstore.append import event_row, insert_rows, upsert
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.errors import CommitFailedError, LogBusyError, NestedUnitError
from eventstore.library.subscription import PollingSubscription
from eventstore.locks import lock_for_append, stable_position

NOBODY: Final = Envelope(actor="", via="", request_id="")
_LIBRARY_ERRORS: Final = {
    exc.InterfaceError: persistence.InterfaceError,
    exc.DataError: persistence.DataError,
    exc.OperationalError: persistence.OperationalError,
    exc.IntegrityError: persistence.IntegrityError,
    exc.InternalError: persistence.InternalError,
    exc.ProgrammingError: persistence.ProgrammingError,
    exc.NotSupportedError: persistence.NotSupportedError,
    exc.DatabaseError: persistence.DatabaseError,
    exc.DBAPIError: persistence.PersistenceError,
    exc.TimeoutError: persistence.OperationalError,
}


@contextmanager
def library_errors() -> Generator[None]:
    """Raise the library's error of the same name; a commit that failed is never a conflict."""
    try:
        yield
    except (CommitFailedError, LogBusyError) as error:
        raise persistence.OperationalError(str(error)) from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        kind = next(_LIBRARY_ERRORS[cls] for cls in type(error).__mro__ if cls in _LIBRARY_ERRORS)
        raise kind(str(error)) from error


class CoreAggregateRecorder(AggregateRecorder):
    """Streams of events, or of snapshots, in one table."""

    def __init__(self, database: Database, events: Table) -> None:
        self.database = database
        self.events = events

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append; `did` and `envelope` may be given."""
        self._insert(stored_events, **kwargs)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """A stream, or part of it."""
        log = self.events.c
        query = select(log.originator_version, log.topic, log.state)
        query = query.where(log.originator_id == str(originator_id)).limit(limit)
        if gt is not None:
            query = query.where(log.originator_version > gt)
        if lte is not None:
            query = query.where(log.originator_version <= lte)
        version = log.originator_version
        with library_errors(), self.database.read() as connection:
            rows = connection.execute(query.order_by(version.desc() if desc else version))
            return [StoredEvent(originator_id, r.originator_version, r.topic, r.state) for r in rows]

    def _insert(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        did: str | None = None,
        envelope: Envelope = NOBODY,
        tracking: Tracking | None = None,
    ) -> list[int]:
        if self.database.in_transaction:
            raise NestedUnitError  # that transaction did not begin with the append lock
        with library_errors(), self.database.write() as connection:
            lock_for_append(connection, self.events, did)
            now = self.database.now(connection)
            rows = [event_row(stored, did or "", envelope, now) for stored in stored_events]
            positions = insert_rows(connection, self.events, rows)
            self._follow(connection, tracking)
            return positions

    def _follow(self, connection: Connection, tracking: Tracking | None) -> None:  # noqa: ARG002
        if tracking is not None:
            raise persistence.NotSupportedError("this recorder keeps no tracking")


class CoreApplicationRecorder(CoreAggregateRecorder, ApplicationRecorder):
    """Streams of events, and all events in the order of their positions."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append; the positions, in order."""
        return self._insert(stored_events, **kwargs)

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
        if (self.max_notification_id() or 0) < first:
            return []
        log = self.events.c
        query = select(self.events).order_by(log.position).limit(limit)
        if topics:
            query = query.where(log.topic.in_(topics))
        with library_errors():
            stable = stable_position(self.database, self.events)
            last = stable if stop is None else min(stop, stable)
            with self.database.read() as connection:
                rows = connection.execute(query.where(log.position.between(first, last)))
                return [_notification(row) for row in rows]

    def max_notification_id(self) -> int | None:
        """The newest position that this transaction can see."""
        with library_errors(), self.database.read() as connection:
            newest: int | None = connection.scalar(select(func.max(self.events.c.position)))
            return newest

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Follow the events as they come."""
        return PollingSubscription(self, gt=gt, topics=topics)


class CoreTrackingRecorder(TrackingRecorder):
    """How far other applications' events have been processed; an insert joins an open write."""

    def __init__(self, database: Database, tracking: Table) -> None:
        self.database = database
        self.tracking = tracking

    def insert_tracking(self, tracking: Tracking) -> None:
        """Move on; an IntegrityError says that somebody was there before."""
        with library_errors(), self.database.write() as connection:
            advance(connection, self.tracking, tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """How far the application's events have been processed."""
        table = self.tracking.c
        query = select(table.notification_id).where(table.application_name == application_name)
        with library_errors(), self.database.read() as connection:
            return connection.scalar(query)


class CoreProcessRecorder(CoreTrackingRecorder, CoreApplicationRecorder, ProcessRecorder):
    """Events that commit together with how far they came from."""

    def __init__(self, database: Database, events: Table, tracking: Table) -> None:
        CoreApplicationRecorder.__init__(self, database, events)
        CoreTrackingRecorder.__init__(self, database, tracking)

    def _follow(self, connection: Connection, tracking: Tracking | None) -> None:
        if tracking is not None:
            advance(connection, self.tracking, tracking)


def advance(connection: Connection, table: Table, tracking: Tracking) -> None:
    """Only forward: a position at or below the stored one is refused."""
    insert = upsert(connection, table).values(vars(tracking))
    newer = insert.excluded.notification_id
    guarded = insert.on_conflict_do_update(
        index_elements=[table.c.application_name],
        set_={"notification_id": newer},
        where=table.c.notification_id < newer,
    )
    if connection.execute(guarded.returning(table.c.notification_id)).first() is None:
        raise persistence.IntegrityError(f"{tracking} is not newer than what was processed")


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        id=row.position,
        originator_id=row.originator_id,
        originator_version=row.originator_version,
        topic=row.topic,
        state=row.state,
    )
