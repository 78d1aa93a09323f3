"""The log, and the one way to append to it."""

import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Final, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent, Transcoding
from sqlalchemy import Connection, Row, Table, bindparam, select
from sqlalchemy.exc import DBAPIError

from eventstore.change import Recorded, of_class
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.errors import (
    DEADLOCK_DETECTED,
    SERIALIZATION_FAILURE,
    CommitFailedError,
    NestedUnitError,
    sqlstate,
)
from eventstore.locks import PATIENCE, lock_for_append, stable_position
from eventstore.projection import Projection
from eventstore.projection_state import outdated, require_current
from eventstore.schema import stored_event
from eventstore.streams.aggregate_cache import Tail, Tails
from eventstore.streams.codec import Codec
from eventstore.unit_of_work import UnitOfWork

A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")

TRIES: Final = 5


class EventLog:
    """The events of all accounts in one table, with the projections that are applied as they are appended."""

    def __init__(
        self,
        database: Database,
        *,
        projections: Sequence[Projection] = (),
        transcodings: Sequence[Transcoding] = (),
        table: Table = stored_event,
        patience: float = PATIENCE,
    ) -> None:
        self.database: Final = database
        self.projections: Final = tuple(projections)
        self.table: Final = table
        self.codec: Final = Codec(transcodings)
        self._patience: Final = patience
        self.tails: Final = Tails()
        of_stream = table.c.originator_id == bindparam("stream")
        self._stream: Final = select(table).where(of_stream).order_by(table.c.originator_version)
        self._stream_from: Final = self._stream.where(table.c.originator_version >= bindparam("version"))

    @contextmanager
    def unit_of_work(self, did: str | None, envelope: Envelope) -> Generator[UnitOfWork]:
        """Take the append lock, then read, decide and append; commit at the end, or roll back on any error.

        Without a DID the unit has the whole log for itself and appends nothing: a rebuild's last step.
        """
        if self.database.in_transaction:
            raise NestedUnitError
        unit: UnitOfWork | None = None
        try:
            with self.database.write() as connection:
                locked_at = lock_for_append(connection, self.table, did, patience=self._patience)
                if did is not None:
                    require_current(connection, self.projections, self.table)
                unit = UnitOfWork(self, connection, did, envelope, locked_at)
                yield unit
                unit.require_whole()
        except BaseException:
            if unit is not None:
                unit.give_back()
            raise
        unit.committed()

    def transact(self, did: str | None, envelope: Envelope, work: Callable[[UnitOfWork], T]) -> T:
        """Do `work` in a unit of its own; all of it again when PostgreSQL broke a deadlock at its cost."""
        for attempt in range(1, TRIES + 1):
            try:
                with self.unit_of_work(did, envelope) as unit:
                    result = work(unit)
            except (DBAPIError, CommitFailedError) as error:
                if attempt == TRIES or not _was_rolled_back_for_others(error):
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
            else:
                return result
        raise AssertionError

    def outdated(self) -> str | None:
        """Name a projection whose rows other code has made, so that this code may append nothing; None if it may."""
        with self.database.read_committed() as connection:
            return outdated(connection, self.projections, self.table)

    def stable_position(self) -> int:
        """No event that is committed later has a position at or below this one."""
        return stable_position(self.database, self.table, patience=self._patience)

    def stream(
        self, connection: Connection, aggregate_id: UUID, *, upto_version: int | None = None
    ) -> list[Recorded]:
        """The events of one aggregate, read in one statement."""
        query = self._stream
        if upto_version is not None:
            query = query.where(self.table.c.originator_version <= upto_version)
        return [self._recorded(row) for row in connection.execute(query, {"stream": str(aggregate_id)})]

    def tail(self, connection: Connection, aggregate_id: UUID) -> Tail | None:
        """How a stream ends: its state is what `fold` makes of all its events, but only new ones are read."""
        known = self.tails.get(aggregate_id)
        if known is not None:
            since = {"stream": str(aggregate_id), "version": known.state.version}
            rows = connection.execute(self._stream_from, since).all()
            if rows and (rows[0].position, rows[0].recorded_at) == (known.position, known.recorded_at):
                return self._read_on(known, [self._recorded(row) for row in rows[1:]])
        return self._read_on(None, self.stream(connection, aggregate_id))

    def _read_on(self, tail: Tail | None, recorded: Sequence[Recorded]) -> Tail | None:
        if not recorded:
            return tail
        state: Aggregate | None = deepcopy(tail.state) if tail is not None else None
        for each in recorded:
            state = each.event.mutate(state)
        last = recorded[-1]
        return Tail(state, last.did, last.position, last.recorded_at) if state is not None else None

    def fold(self, aggregate_class: type[A], recorded: Iterable[Recorded]) -> A | None:
        """The aggregate that these events, the first ones of its stream, make."""
        aggregate: Aggregate | None = None
        for each in recorded:
            aggregate = each.event.mutate(aggregate)
        return of_class(aggregate_class, aggregate) if aggregate is not None else None

    def read(self, *, after: int, until: int, limit: int, did: str | None = None) -> list[Recorded]:
        """A page of events in position order; `until` is a stable position, unless it is one account's page."""
        log = self.table.c
        query = select(self.table).where(log.position > after, log.position <= until)
        if did is not None:
            query = query.where(log.did == did)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(log.position).limit(limit))
            return [self._recorded(row) for row in rows]

    def _recorded(self, row: Row[Any]) -> Recorded:
        stored = StoredEvent(row.originator_id, row.originator_version, row.topic, row.state)
        return Recorded(
            position=row.position,
            did=row.did,
            version=row.originator_version,
            event=self.codec.decode(stored),
            topic=row.topic,
            actor=row.actor,
            via=row.via,
            request_id=row.request_id,
            recorded_at=row.recorded_at,
        )


def _was_rolled_back_for_others(error: DBAPIError | CommitFailedError) -> bool:
    cause = error.__cause__ if isinstance(error, CommitFailedError) else error
    return sqlstate(cause) in {DEADLOCK_DETECTED, SERIALIZATION_FAILURE}
