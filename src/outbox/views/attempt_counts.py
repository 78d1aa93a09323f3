"""Counts attempts and failures by the hour.

The ids of attempts grow with time: a binary search finds the first of each hour, and the difference of two is their number.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from eventstore.prepared import Prepared
from outbox.mirror.failure_causes import HOUR, HOURS_OF_TREND, first_hour
from outbox.mirror.tables import delivery_attempt, failure_hour

attempt: Final = delivery_attempt.c


def attempts_by_hour(connection: Connection, now: datetime) -> list[int]:
    """Return how many attempts began in each hour of the last day, the current hour last.

    It is a close estimate: an id that the database gave and no row kept counts too, and of transactions side by side the one
    that began first may have the greater id.
    """
    newest = connection.scalar(select(func.max(attempt.id))) or 0
    oldest = connection.scalar(select(func.min(attempt.id))) or newest + 1
    first = first_hour(now)
    bounds: list[int] = []
    for number in range(HOURS_OF_TREND):
        oldest = _first_since(connection, first + number * HOUR, oldest, newest)
        bounds.append(oldest)
    return [after - before for before, after in zip(bounds, (*bounds[1:], newest + 1), strict=True)]


def failures_by_hour(connection: Connection, now: datetime) -> Sequence[int]:
    """Return how many requests failed in each hour of the last day, the current hour last."""
    first = first_hour(now)
    counted = [0] * HOURS_OF_TREND
    rows = connection.execute(
        select(failure_hour.c.hour, func.sum(failure_hour.c.failures))
        .where(failure_hour.c.hour >= first, failure_hour.c.hour <= now)
        .group_by(failure_hour.c.hour)
    )
    for hour, failures in rows:
        counted[(hour - first) // HOUR] = int(failures)
    return counted


def _first_since(connection: Connection, moment: datetime, low: int, newest: int) -> int:
    """Return the smallest id from `low` whose attempt began at `moment` or later; one more than `newest` if there is none."""
    high = newest + 1
    while low < high:
        middle = (low + high) // 2
        rows = _FROM.start(connection, {"middle": middle}).all()
        if not rows or rows[0].started_at >= moment:
            high = middle
        else:
            low = rows[0].id + 1
    return low


# Built once (CONTRIBUTING.md): a screen asks it some hundreds of times.

_FROM: Final = Prepared(
    lambda _: (
        select(attempt.id, attempt.started_at)
        .where(attempt.id >= bindparam("middle"))
        .order_by(attempt.id)
        .limit(1)
    )
)
