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
    records: int,
    points: int,
    of_account: Iterable[Allowance] = (),
    of_host: Iterable[Allowance] = (),
    *,
    reserve: float = LIVE_RESERVE,
    begins: float = 0.0,
) -> float:
    """Return the seconds until these records have been sent, which cost the account so many points; nothing is sent in the first `begins` seconds."""
    budgets = [*((each, points) for each in of_account), *((each, records) for each in of_host)]
    earned = (allowance.seconds_for(cost, reserve) for allowance, cost in budgets)
    return max(begins, *earned, 0.0) + records * SECONDS_PER_RECORD


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
    able = [row for row in rows if row.mirror_state in DELIVERING]
    if not records:
        return Drain(0, 0, 0.0)
    if not able:
        stalled = Counter(row.mirror_state for row in rows)
        return Drain(records, points, None, stalled.most_common(1)[0][0])
    each = [
        seconds_to_drain(
            row.records,
            row.points,
            [
                *_allowances(row.hour_limit, row.hour_left, row.hour_reset, HOUR_SECONDS, now),
                *_allowances(row.day_limit, row.day_left, row.day_reset, DAY_SECONDS, now),
            ],
            reserve=_reserve([row]),
            begins=(row.may_begin - now).total_seconds(),
        )
        for row in able
    ]
    host = able[0]
    shared = _allowances(host.budget_limit, host.budget_left, host.budget_reset, host.budget_seconds, now)
    of_able = sum(row.records for row in able)
    return Drain(
        records, points, max(*each, seconds_to_drain(of_able, 0, (), shared, reserve=_reserve(able)))
    )


def _reserve(rows: Iterable[Any]) -> float:
    return BACKFILL_RESERVE if any(row.has_backfill for row in rows) else LIVE_RESERVE


def _allowances(
    limit: int | None, left: int, reset: datetime, window: float, now: datetime
) -> list[Allowance]:
    return [Allowance(limit, left, (reset - now).total_seconds(), window)] if limit else []


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
            func.max(case((is_backfill(), 1), else_=0)).label("has_backfill"),
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
