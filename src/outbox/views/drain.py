"""Estimates how long it takes to deliver everything that waits, by the rate limits that PDSes have named."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, func, select

from outbox.mirror.due import is_backfill, is_open, lane_columns, latest_of, target_columns
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import mirror_lane, pds_host
from outbox.mirror.targets import DELETE
from outbox.pds.pacing import (
    BACKFILL_RESERVE,
    CREATE_POINTS,
    DAY_SECONDS,
    DELETE_POINTS,
    HOUR_SECONDS,
    LIVE_RESERVE,
    PUT_POINTS,
)
from outbox.views.overview import LANE_STATE

DELIVERING: Final = (LaneState.READY.value, MirrorReason.BACKOFF.value)
"""The shown states of lanes that are delivered, if only after a pause."""
SECONDS_PER_RECORD: Final = 0.1
"""About what a record takes without a rate limit."""


@dataclass(frozen=True)
class Backlog:
    """A number of records, and the points that they cost an account."""

    records: int = 0
    points: int = 0


@dataclass(frozen=True)
class Allowance:
    """A budget as the PDS last named it, full again after `reset` seconds and then every `window` seconds."""

    limit: int
    left: int
    reset: float
    window: float

    def seconds_for(self, points: int, reserve: float) -> float:
        """Return how long it takes to earn so many points while the reserve, a share of the limit, stays unused."""
        each = self.limit * (1 - reserve)
        now = each if self.reset <= 0 else max(0.0, self.left - self.limit * reserve)
        if points <= now:
            return 0.0
        more = math.ceil((points - now) / each)  # windows after this one
        first = self.reset if self.reset > 0 else self.window
        return first + (more - 1) * self.window


@dataclass(frozen=True)
class Drain:
    """What waits, and for how many seconds; None while none of it is delivered, which is because it is `stalled_by`."""

    records: int
    points: int
    seconds: float | None
    stalled_by: str | None = None
    """The state of the lanes, as it is shown: of most of them, where they differ; or that of records which the relay cannot send."""

    def beside(self, waiting: Mapping[str, int], lane_state: str) -> "Drain":
        """Return the drain of a lane in which so many records wait, by state: stalled where the relay delivers none of them."""
        if self.records or not waiting or MirrorState.PENDING in waiting:
            return self
        most = max(waiting, key=waiting.__getitem__)
        return replace(self, seconds=None, stalled_by=lane_state if most == MirrorState.PARKED else most)


def seconds_to_drain(
    live: Backlog,
    backfill: Backlog,
    allowances: Sequence[Allowance],
    of_host: Sequence[Allowance] = (),
    *,
    begins: float = 0.0,
) -> float:
    """Return the seconds until both have been sent; nothing is sent in the first `begins` seconds."""
    longest = 0.0
    for allowance in allowances:
        longest = max(longest, *_seconds(allowance, live.points, backfill.points))
    for allowance in of_host:
        longest = max(longest, *_seconds(allowance, live.records, backfill.records))
    return max(begins, longest) + (live.records + backfill.records) * SECONDS_PER_RECORD


def _seconds(allowance: Allowance, live: int, backfill: int) -> tuple[float, float]:
    all_of_it = allowance.seconds_for(live + backfill, BACKFILL_RESERVE) if backfill else 0.0
    return allowance.seconds_for(live, LIVE_RESERVE), all_of_it


def drain_of(connection: Connection, did: str, now: datetime) -> Drain:
    """Estimate for one account."""
    return _drain_of_lanes(connection.execute(_lanes(lane_columns.did), {"whose": [did]}).all(), now)


def drains_of_hosts(connection: Connection, hosts: Sequence[str], now: datetime) -> Mapping[str, Drain]:
    """Estimate for each of these hosts, and for those of its accounts that are delivered."""
    lanes: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_lanes(lane_columns.host), {"whose": list(hosts)}):
        lanes[row.host].append(row)
    return {host: _drain_of_lanes(lanes[host], now) for host in hosts}


def _drain_of_lanes(rows: Sequence[Any], now: datetime) -> Drain:
    records, points = sum(row.records for row in rows), sum(row.points for row in rows)
    able = [row for row in rows if _is_able(row)]
    if not records:
        return Drain(0, 0, 0.0)
    if not able:
        stalled = Counter(row.mirror_state for row in rows)
        return Drain(records, points, None, stalled.most_common(1)[0][0])
    each = (
        seconds_to_drain(*_waiting([row]), _of_account(row, now), begins=_seconds_until(row, now))
        for row in able
    )
    together = seconds_to_drain(*_waiting(able), (), _of_host(able[0], now))
    return Drain(records, points, max(together, *each))


def _is_able(row: Any) -> bool:
    return row.mirror_state in DELIVERING


def _waiting(rows: Iterable[Any]) -> tuple[Backlog, Backlog]:
    rows = list(rows)
    both = Backlog(sum(row.records for row in rows), sum(row.points for row in rows))
    backfill = Backlog(sum(row.backfill_records for row in rows), sum(row.backfill_points for row in rows))
    return Backlog(both.records - backfill.records, both.points - backfill.points), backfill


def _of_account(row: Any, now: datetime) -> list[Allowance]:
    return [
        *_allowances(row.hour_limit, row.hour_left, row.hour_reset, HOUR_SECONDS, now),
        *_allowances(row.day_limit, row.day_left, row.day_reset, DAY_SECONDS, now),
    ]


def _of_host(row: Any, now: datetime) -> list[Allowance]:
    return _allowances(row.budget_limit, row.budget_left, row.budget_reset, row.budget_seconds, now)


def _allowances(
    limit: int | None, left: int, reset: datetime, window: float, now: datetime
) -> list[Allowance]:
    return [Allowance(limit, left, (reset - now).total_seconds(), window)] if limit else []


def _seconds_until(row: Any, now: datetime) -> float:
    begins: datetime = row.may_begin
    return max(0.0, (begins - now).total_seconds())


@cache
def _lanes(column: ColumnElement[str]) -> Select[Any]:
    """Return each lane with one of these values in the column, and what waits in it."""
    cost = case(
        (target_columns.desired_op == DELETE, DELETE_POINTS),
        (target_columns.observed_cid.is_(None), CREATE_POINTS),
        else_=PUT_POINTS,
    )

    may_begin = latest_of(
        lane_columns.not_before, lane_columns.paced_until, pds_host.c.retry_at, pds_host.c.paced_until
    )
    waiting = (
        select(
            target_columns.did,
            func.count().label("records"),
            func.sum(cost).label("points"),
            func.sum(case((is_backfill(), 1), else_=0)).label("backfill_records"),
            func.sum(case((is_backfill(), cost), else_=0)).label("backfill_points"),
        )
        .join(mirror_lane, lane_columns.did == target_columns.did)
        .where(column.in_(bindparam("whose", expanding=True)), is_open())
        .group_by(target_columns.did)
        .subquery()
    )
    return (
        select(
            waiting,
            lane_columns.host,
            LANE_STATE.label("mirror_state"),
            *(
                lane_columns[f"{name}_{part}"]
                for name in ("hour", "day")
                for part in ("limit", "left", "reset")
            ),
            *(pds_host.c[f"budget_{part}"] for part in ("limit", "left", "reset", "seconds")),
            may_begin.label("may_begin"),
        )
        .select_from(mirror_lane)
        .outerjoin(pds_host, pds_host.c.host == lane_columns.host)
        .join(waiting, waiting.c.did == lane_columns.did)
    )
