"""From events to changes, at any size of the log."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from eventsourcing.domain import Aggregate

from eventstore.change import Change, Recorded
from eventstore.event_log import EventLog


class Folder:
    """Folds events that come in position order, page by page, and remembers the states used last.

    A state that was forgotten is read again from the log, so memory is bounded by `keep` aggregates.
    """

    def __init__(self, log: EventLog, *, keep: int = 4096) -> None:
        self._log: Final = log
        self._keep: Final = keep
        self._states: OrderedDict[UUID, Aggregate] = OrderedDict()

    def changes(self, page: Iterable[Recorded]) -> list[Change]:
        """The page's events, each with the states around it."""
        return [self._change(recorded) for recorded in page]

    def _change(self, recorded: Recorded) -> Change:
        change = Change.of(recorded, self._before(recorded))
        self._states[recorded.aggregate_id] = change.after
        if len(self._states) > self._keep:
            self._states.popitem(last=False)
        return change

    def _before(self, recorded: Recorded) -> Aggregate | None:
        if recorded.version == Aggregate.INITIAL_VERSION:
            return None
        state = self._states.pop(recorded.aggregate_id, None)
        if state is not None and state.version == recorded.version - 1:
            return state
        with self._log.database.read() as connection:
            prefix = self._log.stream(connection, recorded.aggregate_id, upto_version=recorded.version - 1)
        return self._log.fold(Aggregate, prefix)
