"""Lists failures by cause, the newest first: how often each was met, in the last day by the hour, and how many records it keeps."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from outbox.mirror.failure_causes import HOUR, HOURS_OF_TREND, first_hour
from outbox.mirror.tables import SUBJECT, failure_cause, failure_hour
from outbox.views.failures import CAUSE, RETRIABLE
from outbox.views.status import TARGETS_AT_WORK

cause: Final = failure_cause.c
hour: Final = failure_hour.c


@dataclass(frozen=True)
class CauseCount:
    row: Any
    """Of failure_cause."""
    records: int
    """How many records it keeps from their PDS now: as many as a redrive of this cause retries."""
    trend: Sequence[int]
    """Its failures in each hour of the last day, the current hour last."""


def causes(
    connection: sa.Connection,
    now: datetime,
    *,
    host: str | None = None,
    error: str | None = None,
    only: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[CauseCount]:
    """Return causes, the one met last first, of a host, with an error, or `only` one; `after` this time and id."""
    wanted = ((cause.host, host), (cause.error, error), (cause.id, only))
    query = sa.select(failure_cause).where(
        *(column == value for column, value in wanted if value is not None)
    )
    if after is not None:
        seen_at, last = after
        same_time = sa.and_(cause.last_seen_at == seen_at, cause.id > last)
        query = query.where(sa.or_(cause.last_seen_at < seen_at, same_time))
    rows = connection.execute(query.order_by(cause.last_seen_at.desc(), cause.id).limit(limit)).all()
    ids = [row.id for row in rows]
    if not ids:
        return []
    first = first_hour(now)
    trends: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS_OF_TREND)
    in_time = (hour.cause.in_(ids), hour.hour >= first, hour.hour <= now)
    for row in connection.execute(sa.select(failure_hour).where(*in_time)):
        trends[row.cause][(row.hour - first) // HOUR] = row.failures
    records = _records(connection, ids)
    return [CauseCount(row, records.get(row.id, 0), trends[row.id]) for row in rows]


def failures_by_hour(connection: sa.Connection, now: datetime) -> list[int]:
    """Return how many requests failed in each hour of the last day, the current hour last."""
    first = first_hour(now)
    in_time = (hour.hour >= first, hour.hour <= now)
    by_hour = sa.select(hour.hour, sa.func.sum(hour.failures)).where(*in_time).group_by(hour.hour)
    counted = {(at - first) // HOUR: int(failures) for at, failures in connection.execute(by_hour)}
    return [counted.get(number, 0) for number in range(HOURS_OF_TREND)]


def _records(connection: sa.Connection, ids: Iterable[str]) -> Mapping[str, int]:
    failing = sa.select(CAUSE.label("of_cause"), sa.func.count(SUBJECT.distinct()))
    these = failing.select_from(TARGETS_AT_WORK).where(RETRIABLE, CAUSE.in_(list(ids)))
    return dict(connection.execute(these.group_by("of_cause")).all())
