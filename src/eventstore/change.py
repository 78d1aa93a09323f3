"""One event of the log, alone and with the aggregate's states around it, and the latest states that this process knows."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, Self, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate, CanMutateAggregate


class Via(StrEnum):
    """The ways in, as events store them; `token` is followed by a colon and the token's name."""

    BROWSER = "browser"
    TOKEN = "token"  # noqa: S105 - a way in, not a password
    OPERATOR = "operator"
    CLI = "cli"
    RELAY = "relay"
    JOB = "job"

    def named(self, name: str) -> str:
        return f"{self.value}:{name}"


@dataclass(frozen=True)
class Envelope:
    """Stored beside every event that a unit of work appends: the DID or operator, the way in, the request."""

    actor: str
    via: str
    request_id: str


Event = CanMutateAggregate[UUID]
A = TypeVar("A", bound=Aggregate)


def copied(aggregate: A) -> A:
    """Copy an aggregate with its pending events; both share all other values, since an event changes none in place."""
    other: A = object.__new__(type(aggregate))
    other.__dict__ = {**vars(aggregate), "_pending_events": [*aggregate.pending_events]}
    return other


def of_class(aggregate_class: type[A], aggregate: Aggregate) -> A:
    if isinstance(aggregate, aggregate_class):
        return aggregate
    msg = f"the stream is of a {type(aggregate).__name__}, not of a {aggregate_class.__name__}"
    raise TypeError(msg)


@dataclass
class RecordedEvent:
    """An event as the log holds it, with its envelope. Treat as immutable: to enforce it would triple what one costs."""

    position: int
    did: str
    version: int
    event: Event
    topic: str
    actor: str
    via: str
    request_id: str
    recorded_at: datetime

    @property
    def aggregate_id(self) -> UUID:
        return self.event.originator_id


_recorded_fields: Final = attrgetter(*RecordedEvent.__dataclass_fields__)


class StreamState(NamedTuple):
    """The state after some event of a stream, and that event's place in the log. Treat as immutable."""

    state: Aggregate
    did: str
    position: int
    recorded_at: datetime


@dataclass
class Change(RecordedEvent):
    """An event with the aggregate's state just before and just after it. Treat as immutable."""

    before: Aggregate | None
    after: Aggregate
    appended_at: datetime | None = field(default=None, compare=False)
    """The database's time if this process has just appended the event, else None. A clock that was set back gives less than `recorded_at`."""

    @classmethod
    def of(
        cls, recorded: RecordedEvent, before: Aggregate | None, *, appended_at: datetime | None = None
    ) -> Self:
        """Apply the event to a copy of the state before it."""
        after = recorded.event.mutate(copied(before) if before is not None else None)
        if after is None:
            msg = f"{recorded.topic} left no aggregate: streams do not end"
            raise TypeError(msg)
        fields: tuple[Any, ...] = (*_recorded_fields(recorded), before, after, appended_at)
        return cls(*fields)

    @property
    def stream_state(self) -> StreamState:
        return StreamState(self.after, self.did, self.position, self.recorded_at)


# For classes of the library it takes a tenth of `isinstance`.
_is_subclass: Final[Callable[[type, type], bool]] = cache(issubclass)


def changes_of(kind: type[A], changes: Iterable[Change]) -> Iterator[tuple[Change, A | None, A]]:
    """Pick the changes of aggregates of a class, in their order, with the aggregate before and after each."""
    for change in changes:
        before: Any = change.before
        after: Any = change.after
        if _is_subclass(type(after), kind):
            yield change, before, after


MAX_STREAMS: Final = 1024


class AggregateCache:
    """Committed states, of this process alone: another process may have appended since."""

    def __init__(self, max_streams: int = MAX_STREAMS) -> None:
        self._max_streams: Final = max_streams
        self._states: Final[OrderedDict[UUID, StreamState]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def get(self, aggregate_id: UUID) -> StreamState | None:
        with self._lock:
            return self._states.get(aggregate_id)

    def put(self, aggregate_id: UUID, state: StreamState) -> None:
        """Cache the state of a stream; the stream that was put longest ago is evicted."""
        with self._lock:
            self._states[aggregate_id] = state
            self._states.move_to_end(aggregate_id)
            if len(self._states) > self._max_streams:
                self._states.popitem(last=False)
