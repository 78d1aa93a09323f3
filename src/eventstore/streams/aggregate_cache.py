"""A cache of the latest state of recently used streams, so that they are not folded from the first event again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from eventsourcing.domain import Aggregate

KEPT: Final = 1024


@dataclass(frozen=True)
class Tail:
    """The state after the last event of a stream, and that event's place in the log. Treat as immutable."""

    state: Aggregate
    did: str
    position: int
    recorded_at: datetime


class Tails:
    """Committed tails of this process. Others append too: whoever takes one reads on from its last event."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept: Final = kept
        self._tails: Final[OrderedDict[UUID, Tail]] = OrderedDict()
        self._turn: Final = threading.Lock()

    def get(self, aggregate_id: UUID) -> Tail | None:
        """Return the tail of a stream, if it is known."""
        with self._turn:
            return self._tails.get(aggregate_id)

    def put(self, aggregate_id: UUID, tail: Tail) -> None:
        """Keep the tail of a stream, and let go of the one used longest ago."""
        with self._turn:
            self._tails[aggregate_id] = tail
            self._tails.move_to_end(aggregate_id)
            if len(self._tails) > self._kept:
                self._tails.popitem(last=False)
