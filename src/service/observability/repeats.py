"""Makes one log line of an expected failure, and counts its repeats: a line at growing intervals says since when and how often."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import LogRecord
from typing import Final

from service.observability.expected import NEXT, NEXT_OF_REQUEST, expected, first_line

COUNTED_BY: Final = "counted_by"
"""The attribute of a record (an `extra`) that names what its repeats have in common."""
REQUEST_FAILED: Final = "request_failed"
FIRST_INTERVAL_SECONDS: Final = 60.0
MAX_INTERVAL_SECONDS: Final = 600.0
END_SECONDS: Final = 900.0
"""A failure that has not been repeated for so long is over: longer than the pauses of a breaker and of a retried upload."""
CHECK_SECONDS: Final = 10.0


@dataclass
class _Episode:
    """A failure that goes on."""

    latest: LogRecord
    since: float
    shown_at: float
    times: int = 1
    unsaid: int = 0
    interval: float = FIRST_INTERVAL_SECONDS

    def count(self, record: LogRecord) -> None:
        self.latest = record
        self.times += 1
        self.unsaid += 1

    def summary(self, now: float) -> LogRecord:
        self.shown_at, self.unsaid = now, 0
        self.interval = min(2 * self.interval, MAX_INTERVAL_SECONDS)
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="milliseconds")
        return _with(self.latest, since=since, times=self.times)


class Repeats:
    """Which lines a log gets for its records, in the time of the records; not for several threads at once."""

    def __init__(self) -> None:
        self._episodes: Final[dict[object, _Episode]] = {}
        self._checked_at = 0.0

    def lines(self, record: LogRecord) -> Iterator[LogRecord]:
        """Yield the record, or nothing where it repeats one; and what there is to say by now of others."""
        record, counted_by = _in_one_line(record)
        if counted_by is None or self._begins(record, counted_by):
            yield record
        if record.created >= self._checked_at + CHECK_SECONDS:
            self._checked_at = record.created
            yield from self._summaries(record.created)

    def _begins(self, record: LogRecord, counted_by: object) -> bool:
        key = (record.name, record.getMessage(), counted_by)
        if (episode := self._episodes.get(key)) is not None:
            episode.count(record)
            return False
        self._episodes[key] = _Episode(record, since=record.created, shown_at=record.created)
        return True

    def rest(self) -> Iterator[LogRecord]:
        """Yield what has not been said, at the end of the log."""
        for episode in self._episodes.values():
            if episode.unsaid:
                yield episode.summary(episode.latest.created)

    def _summaries(self, now: float) -> Iterator[LogRecord]:
        for key, episode in [*self._episodes.items()]:
            if episode.unsaid and now >= episode.shown_at + episode.interval:
                yield episode.summary(now)
            elif now >= episode.latest.created + END_SECONDS:
                del self._episodes[key]


def _in_one_line(record: LogRecord) -> tuple[LogRecord, object]:
    """Return the record, of an expected failure without its traceback, and what its repeats have in common, if they are counted."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or (kind := expected(error)) is None:
        return record, getattr(record, COUNTED_BY, None)
    is_request = record.getMessage() == REQUEST_FAILED
    what = f"{kind}: {first_line(error)}"
    line = _with(record, error=what, next=NEXT_OF_REQUEST if is_request else NEXT[kind])
    line.exc_info = line.exc_text = None
    return line, getattr(record, COUNTED_BY, kind)


def _with(record: LogRecord, **fields: object) -> LogRecord:
    changed = copy.copy(record)
    vars(changed).update(fields)
    return changed
