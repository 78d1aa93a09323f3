"""Skips the polls of an idle relay that cannot find anything.

A poll that found no work finds none again until a row has changed or the next due time has come.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from eventstore.jobs.table import job
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from outbox.mirror.tables import blob_job, mirror_lane, mirror_target, pds_host
from tests.simulation.memory_database import driver_of

LONGEST_SECONDS = 120.0
"""After this time the relay polls all the same, in case work is due for another reason."""
_TIMES = " union all ".join(
    f"select {column.name} as t from {table.name}"  # noqa: S608 - names of our own
    for table in (pds_host, mirror_lane, mirror_target, blob_job, job)
    for column in table.columns
    if isinstance(column.type, UtcDateTime)
)
_NEXT = f"select min(t) from ({_TIMES}) where t > ?"  # noqa: S608

# The rows without which a poll finds nothing: a superset of what the poll selects.

LANES_DUE = "mirror_lane where due_at <= :now or backfill_at <= :now"
TARGETS = "mirror_target"

Poll = Callable[..., Any]


class IdlePolls:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._empty: dict[Poll, tuple[int, datetime, str]] = {}
        self._due: tuple[int, datetime, tuple[dict[range, float], list[range]]] | None = None

    def wrap(self, look: Poll, rows: str) -> Poll:
        """The same poll, skipped while it cannot find anything or no such rows exist."""
        has_rows = f"select exists (select 1 from {rows})"  # noqa: S608 - names of our own

        def quick(database: Database, *parts: Any, **options: Any) -> Any:
            driver, now = driver_of(database), self._clock()
            if self._finds_nothing(look, driver.total_changes, now):
                return []
            if driver.execute(has_rows, {"now": as_text(now)}).fetchone() == (0,):
                return []
            found = look(database, *parts, **options)
            if not found:
                (next_time,) = driver.execute(_NEXT, (as_text(now),)).fetchone()
                self._empty[look] = driver.total_changes, now, next_time or "9999"
            return found

        return quick

    def wrap_due(
        self, seconds_until_due: Callable[..., tuple[dict[range, float], list[range]]]
    ) -> Callable[..., tuple[dict[range, float], list[range]]]:
        """The same times, read again only when a row has changed."""

        def quick(database: Database, parts: Any) -> tuple[dict[range, float], list[range]]:
            changes, now = driver_of(database).total_changes, self._clock()
            if self._due is None or self._due[0] != changes:
                self._due = changes, now, seconds_until_due(database, parts)
            _, then, (due, leased) = self._due
            return {part: seconds - (now - then).total_seconds() for part, seconds in due.items()}, leased

        return quick

    def _finds_nothing(self, look: Poll, changes: int, now: datetime) -> bool:
        if look not in self._empty:
            return False
        changes_then, looked_at, next_time = self._empty[look]
        return (
            changes == changes_then
            and 0 <= (now - looked_at).total_seconds() < LONGEST_SECONDS
            and as_text(now) < next_time
        )


def as_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
