"""The log, and the only way to append to it: a unit of work under the append lock."""

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent
from sqlalchemy.exc import DBAPIError

from eventstore.change import AggregateCache, Envelope, RecordedEvent, StreamState, copied, of_class
from eventstore.errors import (
    DEADLOCK_DETECTED,
    SERIALIZATION_FAILURE,
    CommitFailedError,
    NestedUnitError,
    NewerReleaseError,
    sqlstate,
)
from eventstore.projection import Early, Projection, are_current, are_entered, enter, outdated
from eventstore.sql.database import Database, require_same_server
from eventstore.sql.prepared import Assumption, Prepared, Query, StaleError, pipelined
from eventstore.sql.schema import stored_event
from eventstore.streams.append import lock_log
from eventstore.streams.buckets import bucket_param
from eventstore.streams.codec import Codec
from eventstore.streams.snapshots import FROM_SNAPSHOT, code_fingerprint, decode
from eventstore.unit_of_work import UnitOfWork

_event: Final = stored_event.c
_IS_OF_STREAM: Final = (_event.bucket == bucket_param("did"), _event.originator_id == sa.bindparam("stream"))
_of_stream: Final = sa.select(stored_event).where(*_IS_OF_STREAM).order_by(_event.originator_version)
_newer: Final = stored_event.alias()
_IS_HEAD: Final = Prepared(
    lambda _: sa.select(sa.literal_column("1")).where(
        *_IS_OF_STREAM,
        _event.originator_version == sa.bindparam("version"),
        _event.position == sa.bindparam("position"),
        _event.recorded_at == sa.bindparam("recorded_at"),
        ~sa.exists(
            sa.select(sa.literal_column("1")).where(
                _newer.c.bucket == bucket_param("did"),
                _newer.c.originator_id == sa.bindparam("stream"),
                _newer.c.originator_version > sa.bindparam("version"),
            )
        ),
    )
)
_STREAM_FROM: Final = Prepared(
    lambda _: _of_stream.where(_event.originator_version >= sa.bindparam("version"))
)
_STREAM_UPTO: Final = Prepared(
    lambda _: _of_stream.where(_event.originator_version <= sa.bindparam("version"))
)
_OF_POSITION: Final = (
    sa.select(_event.originator_version)
    .where(_event.position == sa.bindparam("position"), *_IS_OF_STREAM)
    .scalar_subquery()
)


@cache
def _stream_since(topics: tuple[str, ...]) -> Prepared:
    """Read from a version on; and of the events since the one at a position that one, the one at `until`, and those of the topics."""
    wanted: list[sa.ColumnClause[str]] = [sa.literal_column(f"'{topic}'") for topic in topics]

    def build(dialect: str) -> sa.Select[Any]:
        least = sa.func.min if dialect == "sqlite" else sa.func.least
        version = sa.bindparam("version", type_=sa.Integer)
        first = least(version, sa.func.coalesce(_OF_POSITION, sa.literal_column("0")))
        is_wanted = sa.or_(
            _event.originator_version >= version,
            _event.position.in_([sa.bindparam("position"), sa.bindparam("until")]),
            _event.topic.in_(wanted),
        )
        return _of_stream.where(_event.originator_version >= first, is_wanted)

    return Prepared(build)


_VERSION_AT: Final = Prepared(
    lambda _: sa.select(sa.func.max(_event.originator_version).label("version")).where(
        *_IS_OF_STREAM, _event.position <= sa.bindparam("position")
    )
)
A = TypeVar("A", bound=Aggregate)
T = TypeVar("T")

MAX_ATTEMPTS: Final = 5
"""How often a unit is tried that PostgreSQL rolls back to break a deadlock."""
MAX_VERSION: Final = 2**31 - 1
MAX_POSITION: Final = 2**63 - 1
FIRST_PAUSE_SECONDS: Final = 0.04
"""Upper bound of the random pause after the first attempt; it doubles with each."""


class EventLog:
    """The events of all accounts in one table, with the projections that are applied as they are appended."""

    def __init__(self, database: Database, *, projections: Sequence[Projection] = ()) -> None:
        self.database: Final = database
        self.projections: Final = tuple(projections)
        self.codec: Final = Codec()
        self.cache: Final = AggregateCache()
        self.has_entered = not projections
        """Whether it is known which version makes the rows of each projection."""
        self.standing: Final = [Assumption(are_current(self.projections), finds=True)] if projections else []
        """What every unit takes to be so."""
        self.newer_release: NewerReleaseError | None = None
        """What this process has met that only a newer release knows: it starts no delivery any more."""
        self.early: Final = {each.name: each for each in self.projections if isinstance(each, Early)}

    @contextmanager
    def unit_of_work(self, did: str | None, envelope: Envelope) -> Generator[UnitOfWork]:
        """Take the append lock for the block, which reads, decides and appends; commit at its end, or roll back on any error.

        Without a DID the unit locks the whole log, and can append nothing.
        """
        with self._unit(did, envelope) as unit:
            unit.lock()
            yield unit
            unit.finish()

    @contextmanager
    def _unit(self, did: str | None, envelope: Envelope) -> Generator[UnitOfWork]:
        if self.database.in_transaction:
            raise NestedUnitError
        if not self.has_entered:
            # an empty log enters its projections before the first unit, which writes of its account alone
            with self.database.read_committed() as connection:
                is_known = are_entered(connection, self.projections)
            if not is_known:
                with self.database.write() as connection:
                    lock_log(connection)
                    enter(connection, self.projections)
            self.has_entered = True
        unit = UnitOfWork(self, did, envelope)
        try:
            with self.database.write_when_needed(lambda: unit.connection) as unit.begin:
                yield unit
        except BaseException:
            unit.restore_pending_events()
            raise
        unit.publish()

    def is_head(self, aggregate_id: UUID, state: StreamState) -> Query:
        """Return the query that finds a row if this is the latest state of the stream."""
        return _IS_HEAD.query(
            did=state.did,
            stream=str(aggregate_id),
            version=state.state.version,
            position=state.position,
            recorded_at=state.recorded_at,
        )

    def heads(self, did: str, aggregate_ids: Iterable[UUID]) -> Iterator[Query]:
        """Return what `latest` reads of each of these streams of an account: the events since the cached state, or all."""
        for aggregate_id in aggregate_ids:
            yield self._newest(did, aggregate_id, self.cache.get(aggregate_id))

    def _newest(self, did: str | int, aggregate_id: UUID, cached: StreamState | None) -> Query:
        if cached is None:
            return _from_snapshot(did, aggregate_id)
        return _STREAM_FROM.query(did=did, stream=str(aggregate_id), version=cached.state.version)

    def transact(self, did: str | None, envelope: Envelope, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in a unit of its own, first on what this process knows, without the lock.

        It runs again, under the lock from the beginning, where that was not so, and when PostgreSQL rolled it back to break a
        deadlock. Raises what `work` raises, CommitFailedError and LogBusyError.
        """

        def transaction() -> T:
            if did is not None:
                with suppress(StaleError), self._unit(did, envelope) as unit:
                    try:
                        result = work(unit)
                    except Exception as refusal:
                        if unit.may_be_wrong(refusal):
                            raise StaleError from refusal
                        raise
                    unit.finish()
                    return result
            with self.unit_of_work(did, envelope) as unit:
                return work(unit)

        return _again_after_deadlock(transaction)

    def transact_without_events(self, work: Callable[[sa.Connection], T], *, begins: bool = False) -> T:
        """Run `work` in a transaction that takes no append lock and appends nothing; again after a deadlock, as `transact` does.

        Work that `begins` it does so by `start_begin`, with its first statement.
        """

        def transaction() -> T:
            database = self.database
            with database.write_in_pipelines() if begins else database.write() as connection:
                require_same_server(connection)
                return work(connection)

        return _again_after_deadlock(transaction)

    def close(self) -> None:
        self.database.close()

    def outdated(self) -> Sequence[Projection]:
        """Return the projections whose rows another version of the code has made; while there is one, this code cannot append."""
        with self.database.read_committed() as connection:
            return outdated(connection, self.projections)

    def stable_position(self) -> int:
        """Return a position that every event committed later will be above. Raises LogBusyError, and NestedUnitError in a transaction."""
        if self.database.in_transaction:
            raise NestedUnitError
        # on SQLite there is one writer at a time: positions are committed in their order
        with self.database.read() if self.database.is_sqlite else self.database.write() as connection:
            lock_log(connection)
            return connection.scalar(sa.select(sa.func.max(_event.position))) or 0

    def stream(
        self, connection: sa.Connection, did: str, aggregate_id: UUID, *, upto_version: int = MAX_VERSION
    ) -> list[RecordedEvent]:
        """Read the events of one aggregate of an account, up to and with `upto_version`."""
        this = {"did": did, "stream": str(aggregate_id), "version": upto_version}
        rows = _STREAM_UPTO.start(connection, this).all()
        return [self._recorded(row) for row in rows]

    def latest_since(
        self,
        connection: sa.Connection,
        did: str,
        positions: Mapping[UUID, tuple[int, int]],
        topics: tuple[str, ...],
    ) -> dict[UUID, tuple[StreamState | None, list[RecordedEvent]]]:
        """Return the latest state of each stream of an account, and its events of these topics since a position, with those at both its positions."""
        started = []
        with pipelined(connection) if len(positions) > 1 else nullcontext():
            for stream, (position, until) in positions.items():
                cached = self.cache.get(stream)
                whole = _from_snapshot(did, stream).start(connection) if cached is None else None
                first = cached.state.version if cached is not None else MAX_VERSION
                of = {"did": did, "stream": str(stream), "position": position, "until": until}
                since = _stream_since(topics).start(connection, {**of, "version": first})
                started.append((stream, cached, whole, since))
        found = {}
        for stream, cached, whole, result in started:
            recorded = [self._recorded(row) for row in result.all()]
            newer = [each for each in recorded if cached and each.version >= cached.state.version]
            if cached is not None and newer and _is_of(cached, newer[0]):
                latest = _continued(cached, newer[1:])
            else:
                latest = self._folded((whole or _from_snapshot(did, stream).start(connection)).all())
            found[stream] = (latest, recorded)
        return found

    def latest(
        self, did: str | int, aggregate_id: UUID, read: Callable[[Query], list[Any]]
    ) -> StreamState | None:
        """Return the latest state of a stream of an account, which its bucket may name: the cached one, or its snapshot, with the events since; None without events.

        The cached state's own event is read again. If it is not the event that was cached, the database was put back.
        """
        cached = self.cache.get(aggregate_id)
        if cached is not None:
            rows = read(self._newest(did, aggregate_id, cached))
            if rows and _is_of(cached, rows[0]):
                return _continued(cached, [self._recorded(row) for row in rows[1:]])
        return self._folded(read(_from_snapshot(did, aggregate_id)))

    def state_at(
        self, connection: sa.Connection, did: str, aggregate_id: UUID, version: int
    ) -> StreamState | None:
        """Return the state after the last event of a stream up to this version; None without one."""
        return self._folded(_from_snapshot(did, aggregate_id, version).start(connection).all())

    def state_at_position(
        self, connection: sa.Connection, did: str, aggregate_id: UUID, position: int
    ) -> StreamState | None:
        """Return the state after the last event of a stream up to this position; None without one."""
        this = {"did": did, "stream": str(aggregate_id), "position": min(position, MAX_POSITION)}
        version = _VERSION_AT.start(connection, this).all()[0].version
        return self.state_at(connection, did, aggregate_id, version) if version is not None else None

    def _folded(self, rows: Sequence[Any]) -> StreamState | None:
        if rows and (first := rows[0]).snapshot is not None:
            state = decode(first.of_topic, first.snapshot)
            before = StreamState(state, first.did, first.position, first.recorded_at)
            return _continued(before, [self._recorded(row) for row in rows[1:]])
        return _continued(None, [self._recorded(row) for row in rows])

    def fold(self, aggregate_class: type[A], recorded: Iterable[RecordedEvent]) -> A | None:
        """Return the aggregate that these events make, the first ones of its stream; None without events."""
        aggregate: Aggregate | None = None
        for each in recorded:
            aggregate = each.event.mutate(aggregate)
        return of_class(aggregate_class, aggregate) if aggregate is not None else None

    def read(
        self, *, after: int, until: int, limit: int, did: str | None = None, on: sa.Connection | None = None
    ) -> list[RecordedEvent]:
        """Read a page of events in position order, after `after` and up to `until`; in the transaction `on` a connection.

        Without a `did`, `until` must be a stable position: an event below a later one may not be committed yet.
        """
        query = sa.select(stored_event).where(_event.position > after, _event.position <= until)
        if did is not None:
            query = query.where(_event.did == did)
        with self.database.read() if on is None else nullcontext(on) as connection:
            rows = connection.execute(query.order_by(_event.position).limit(limit))
            return [self._recorded(row) for row in rows]

    def _recorded(self, row: Iterable[Any]) -> RecordedEvent:
        # first the columns of stored_event
        position, did, _, stream, version, topic, state, actor, via, request_id, at, *_ = row
        event = self.codec.decode(StoredEvent(stream, version, topic, state))
        return RecordedEvent(position, did, version, event, topic, actor, via, request_id, at)


def _from_snapshot(did: str | int, aggregate_id: UUID, upto: int = MAX_VERSION) -> Query:
    this = {"did": did, "stream": str(aggregate_id), "upto": upto}
    return FROM_SNAPSHOT.query(**this, fingerprint=code_fingerprint())


def _is_of(cached: StreamState, event: Any) -> bool:
    return (event.position, event.recorded_at) == (cached.position, cached.recorded_at)


def _continued(before: StreamState | None, recorded: Sequence[RecordedEvent]) -> StreamState | None:
    if not recorded:
        return before
    state: Aggregate | None = copied(before.state) if before is not None else None
    for each in recorded:
        state = each.event.mutate(state)
    last = recorded[-1]
    return StreamState(state, last.did, last.position, last.recorded_at) if state is not None else None


def _again_after_deadlock(transaction: Callable[[], T]) -> T:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return transaction()
        except (DBAPIError, CommitFailedError) as error:
            cause = error.__cause__ if isinstance(error, CommitFailedError) else error
            if attempt == MAX_ATTEMPTS or sqlstate(cause) not in {DEADLOCK_DETECTED, SERIALIZATION_FAILURE}:
                raise
            time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)))  # noqa: S311
    raise AssertionError
