"""A relay with nothing to do looks for work all the time: here it looks only where it could find something new.

A look that found nothing finds nothing again as long as no row has changed and no time that a row tells has come.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Table

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.tables import blob_job, mirror_lane, mirror_target, pds_host
from tests.simulation.memory_database import driver_of

LONGEST_SECONDS = 120.0
"""After this time it looks all the same, in case that something is due for another reason."""
_TIMES = " union all ".join(
    f"select {column.name} as t from {table.name}"  # noqa: S608 - names of our own
    for table in (pds_host, mirror_lane, mirror_target, blob_job)
    for column in table.columns
    if isinstance(column.type, UtcDateTime)
)
_NEXT = f"select min(t) from ({_TIMES}) where t > ?"  # noqa: S608

Look = Callable[..., list[Any]]


class QuickLooks:
    """The looks of one world, on its clock."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._empty: dict[Look, tuple[int, datetime, str]] = {}

    def wrap(self, look: Look, table: Table) -> Look:
        """The same look, left out where it can find nothing: also as long as this table has no rows."""
        has_rows = f"select exists (select 1 from {table.name})"  # noqa: S608 - a name of our own

        def quick(database: Database, **options: Any) -> list[Any]:
            if self._finds_nothing(look, database):
                return []
            if driver_of(database).execute(has_rows).fetchone() == (0,):
                return []
            found = look(database, **options)
            if not found:
                driver, now = driver_of(database), self._clock()
                (next_time,) = driver.execute(_NEXT, (as_text(now),)).fetchone()
                self._empty[look] = driver.total_changes, now, next_time or "9999"
            return found

        return quick

    def _finds_nothing(self, look: Look, database: Database) -> bool:
        if look not in self._empty:
            return False
        changes, looked_at, next_time = self._empty[look]
        now = self._clock()
        return (
            driver_of(database).total_changes == changes
            and 0 <= (now - looked_at).total_seconds() < LONGEST_SECONDS
            and as_text(now) < next_time
        )


def as_text(moment: datetime) -> str:
    """A time as the database keeps it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
