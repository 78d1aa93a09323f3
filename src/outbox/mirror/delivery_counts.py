"""Counts deliveries by the hour, the release that made them, and how long they took from their commit to the PDS's confirmation.

A process counts in memory, and stores what it has counted now and then: no delivery waits for a row that all of them share.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from threading import Lock
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError
from eventstore.sql.database import Database
from eventstore.streams.append import upsert
from outbox.mirror.failure_causes import HOUR, first_hour, hour_of
from outbox.mirror.tables import delivery_hour

HOURS_KEPT: Final = 7 * 24
WITHIN_MS: Final = (250, 500, 1_000, 2_500, 5_000, 15_000, 60_000, 300_000, 3_600_000, 86_400_000)
LONGER_MS: Final = 1_000_000_000
"""Stands for more than the last of WITHIN_MS."""
MOST: Final = 0.95
"""The share of deliveries whose time is shown beside that of half of them."""

row: Final = delivery_hour.c


class _Key(NamedTuple):
    hour: datetime
    within_ms: int


class DeliveryCounts:
    def __init__(self, release: str) -> None:
        self._release: Final = release
        self._lock: Final = Lock()
        self._counts: Counter[_Key] = Counter()

    def count(self, at: datetime, seconds: float) -> None:
        place = bisect_left(WITHIN_MS, seconds * 1000)
        key = _Key(hour_of(at), (*WITHIN_MS, LONGER_MS)[place])
        with self._lock:
            self._counts[key] += 1

    def store(self, database: Database) -> None:
        """Add what was counted to the table, and delete what is too old; what cannot be stored is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with database.write() as connection:
                _add(connection, self._release, counts)
                connection.execute(
                    sa.delete(delivery_hour).where(
                        row.hour < first_hour(database.now(connection), HOURS_KEPT)
                    )
                )
        except (SQLAlchemyError, EventStoreError):
            with self._lock:
                self._counts += counts


def _add(connection: sa.Connection, release: str, counts: Mapping[_Key, int]) -> None:
    for key, deliveries in sorted(counts.items()):  # all processes in one order
        new = upsert(connection, delivery_hour).values(
            hour=key.hour, release=release, within_ms=key.within_ms, deliveries=deliveries
        )
        more = {"deliveries": row.deliveries + deliveries}
        connection.execute(new.on_conflict_do_update(index_elements=[*delivery_hour.primary_key], set_=more))


@dataclass(frozen=True)
class DeliveryHour:
    """The deliveries of an hour, and within how long half and nearly all of them were confirmed; None where there were none."""

    at: datetime
    deliveries: int
    half_within_ms: int | None
    most_within_ms: int | None


def deliveries_by_hour(
    connection: sa.Connection, now: datetime
) -> tuple[list[DeliveryHour], dict[str, datetime]]:
    """Return the hours that are kept, the current one last, and since which of them each release has delivered."""
    counts: dict[datetime, Counter[int]] = defaultdict(Counter)
    since: dict[str, datetime] = {}
    first = first_hour(now, HOURS_KEPT)
    kept = sa.select(delivery_hour).where(row.hour >= first).order_by(row.hour)
    for each in connection.execute(kept):
        counts[each.hour][each.within_ms] += each.deliveries
        since.setdefault(each.release, each.hour)
    hours = [first + number * HOUR for number in range(HOURS_KEPT)]
    return [_hour(at, counts[at]) for at in hours], since


def _hour(at: datetime, counts: Mapping[int, int]) -> DeliveryHour:
    classes = sorted(counts)
    sums = list(accumulate(counts[each] for each in classes))
    if not sums:
        return DeliveryHour(at, 0, None, None)
    half, most = (classes[bisect_left(sums, share * sums[-1])] for share in (0.5, MOST))
    return DeliveryHour(at, sums[-1], half, most)
