"""Replays the log: from events to changes, in memory that does not grow with the log."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from eventsourcing.domain import Aggregate

from eventstore.change import Change, RecordedEvent
from eventstore.event_log import EventLog

MAX_STATES: Final = 4096


class Replayer:
    """Folds events that come in position order, page by page, and caches the states used last.

    A state that was evicted is read again from the log, so memory is bounded by `max_states` aggregates.
    """

    def __init__(self, log: EventLog, *, max_states: int = MAX_STATES) -> None:
        self._log: Final = log
        self._max_states: Final = max_states
        self._states: OrderedDict[UUID, Aggregate] = OrderedDict()

    def changes(self, page: Iterable[RecordedEvent]) -> list[Change]:
        """Return the page's events, each with the states around it."""
        return [self._change(recorded) for recorded in page]

    def _change(self, recorded: RecordedEvent) -> Change:
        change = Change.of(recorded, self._before(recorded))
        self._states[recorded.aggregate_id] = change.after
        if len(self._states) > self._max_states:
            self._states.popitem(last=False)
        return change

    def _before(self, recorded: RecordedEvent) -> Aggregate | None:
        if recorded.version == Aggregate.INITIAL_VERSION:
            return None
        state = self._states.pop(recorded.aggregate_id, None)
        if state is not None and state.version == recorded.version - 1:
            return state
        with self._log.database.read() as connection:
            prefix = self._log.stream(connection, recorded.aggregate_id, upto_version=recorded.version - 1)
        return self._log.fold(Aggregate, prefix)
