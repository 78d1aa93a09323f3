"""A cache of the latest state of recently used streams, so that they are not folded from the first event again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from eventsourcing.domain import Aggregate

MAX_STREAMS: Final = 1024


@dataclass(frozen=True)
class StreamState:
    """The state after some event of a stream, and that event's place in the log. Treat as immutable."""

    state: Aggregate
    did: str
    position: int
    recorded_at: datetime


class AggregateCache:
    """Committed states, of this process alone: another process may have appended since."""

    def __init__(self, max_streams: int = MAX_STREAMS) -> None:
        self._max_streams: Final = max_streams
        self._states: Final[OrderedDict[UUID, StreamState]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def get(self, aggregate_id: UUID) -> StreamState | None:
        """Return the cached state of a stream, which other processes may have continued."""
        with self._lock:
            return self._states.get(aggregate_id)

    def put(self, aggregate_id: UUID, state: StreamState) -> None:
        """Cache the state of a stream; the stream that was put longest ago is evicted."""
        with self._lock:
            self._states[aggregate_id] = state
            self._states.move_to_end(aggregate_id)
            if len(self._states) > self._max_streams:
                self._states.popitem(last=False)
