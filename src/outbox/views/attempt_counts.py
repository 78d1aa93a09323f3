"""Counts attempts, deliveries, failures and waits by the hour of the last day, and in parts of the last hour.

The ids of attempts grow with time: a binary search finds the first of each part, and the difference of two is their number.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, literal, select

from eventstore.prepared import Prepared
from eventstore.schema import stored_event
from outbox.mirror.failure_causes import HOUR, HOURS_OF_TREND, first_hour
from outbox.mirror.tables import delivery_attempt, failure_hour, mirror_target
from outbox.pds.verdict import Kind

PARTS_OF_HOUR: Final = 12
PART: Final = HOUR / PARTS_OF_HOUR
FAILED: Final = tuple(kind.value for kind in Kind if kind not in {Kind.DONE, Kind.READ_BACK})
"""The outcomes of attempts that are counted as failures."""
MAX_SAMPLED: Final = 5_000
"""Attempts that are looked at to count deliveries: a day of attempts has no bound."""

attempt: Final = delivery_attempt.c
target: Final = mirror_target.c


def hours_of_day(now: datetime) -> Sequence[datetime]:
    """Return the beginnings of the hours of the last day, the current hour last."""
    return _parts(first_hour(now), HOUR, HOURS_OF_TREND)


def parts_of_hour(now: datetime) -> Sequence[datetime]:
    """Return the beginnings of the parts of the last hour, the current part last."""
    current = now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % PART
    return _parts(current - (PARTS_OF_HOUR - 1) * PART, PART, PARTS_OF_HOUR)


def attempts_between(bounds: Sequence[int]) -> list[int]:
    """Return how many attempts there are between these ids, of `first_ids`.

    It is a close estimate: an id that the database gave and no row kept counts too, and of transactions side by side the one
    that began first may have the greater id.
    """
    return [after - before for before, after in pairwise(bounds)]


def failed_attempts_between(connection: Connection, bounds: Sequence[int]) -> list[int]:
    """Return how many of them failed: of writes, since uploads and reads are not in the journal."""
    rows = connection.execute(
        select(_part(attempt.id, bounds[:-1]).label("part"), func.count())
        .where(attempt.id >= bounds[0], attempt.outcome.in_(FAILED))
        .group_by("part")
    )
    return _counted(dict(rows.all()), len(bounds) - 1)


def deliveries_between(connection: Connection, bounds: Sequence[int]) -> list[int]:
    """Return how many of them the PDS took; of more than MAX_SAMPLED one in `step` is looked at, and stands for so many."""
    step = 1 + (bounds[-1] - bounds[0]) // MAX_SAMPLED
    sample = select(literal(bounds[0], attempt.id.type).label("id")).cte("sample", recursive=True)
    sample = sample.union_all(select(sample.c.id + step).where(sample.c.id + step < bounds[-1]))
    rows = connection.execute(
        select(_part(attempt.id, bounds[:-1]).label("part"), func.count())
        .select_from(sample.join(delivery_attempt, attempt.id == sample.c.id))
        .where(attempt.outcome == Kind.DONE.value)
        .group_by("part")
    )
    return [step * count for count in _counted(dict(rows.all()), len(bounds) - 1)]


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


def waiting_since(connection: Connection, starts: Sequence[datetime]) -> list[int]:
    """Return how many records wait now with a newest change from each of these times to the next, the last one up to now."""
    at = stored_event.c.recorded_at
    rows = connection.execute(
        select(_part(at, starts).label("part"), func.count())
        .select_from(mirror_target)
        .join(stored_event, stored_event.c.position == target.desired_gen)
        .where(target.desired_gen > target.acked_gen, at >= starts[0])
        .group_by("part")
    )
    return _counted(dict(rows.all()), len(starts))


def _parts(first: datetime, each: timedelta, count: int) -> list[datetime]:
    return [first + number * each for number in range(count)]


def _part(
    value: ColumnElement[int] | ColumnElement[datetime], starts: Sequence[object]
) -> ColumnElement[int]:
    """Number the part that a value is in; those before the first part are in it too."""
    parts = [(value >= start, number) for number, start in enumerate(starts)]
    return case(*reversed(parts), else_=0)


def _counted(by_part: Mapping[int, int], parts: int) -> list[int]:
    return [by_part.get(part, 0) for part in range(parts)]


def first_ids(connection: Connection, starts: Sequence[datetime]) -> list[int]:
    """Return the id of the first attempt since each of these times, and one more than the newest."""
    newest = connection.scalar(select(func.max(attempt.id))) or 0
    oldest = connection.scalar(select(func.min(attempt.id))) or newest + 1
    bounds: list[int] = []
    for start in starts:
        oldest = _first_since(connection, start, oldest, newest)
        bounds.append(oldest)
    return [*bounds, newest + 1]


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
