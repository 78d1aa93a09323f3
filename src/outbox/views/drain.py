"""Estimates how long it takes to deliver everything that waits, by the rate limits that PDSes have named."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from outbox.mirror.due import is_open, latest_of
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import lane, mirror_lane, pds_host, target
from outbox.mirror.targets import DELETE
from outbox.pds.verdict import (
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


def seconds_to_earn(
    points: int, reserve: float, *, limit: int | None, left: int, reset: float, window: float
) -> float:
    """Return how long it takes to earn so many points of a budget while the reserve, a share of the limit, stays unused.

    The budget is as the PDS last named it, if it did: full again after `reset` seconds and then every `window` seconds.
    """
    each = (limit or math.inf) * (1 - reserve)
    now = each if limit is None or reset <= 0 else max(0.0, left - limit * reserve)
    if points <= now:
        return 0.0
    more = math.ceil((points - now) / each)  # windows after this one
    return (reset if reset > 0 else window) + (more - 1) * window


def drain_of(connection: sa.Connection, did: str, now: datetime) -> Drain:
    return _drain_of_lanes(connection.execute(_lanes(lane.did), {"whose": [did]}).all(), now)


def drains_of_hosts(connection: sa.Connection, hosts: Sequence[str], now: datetime) -> Mapping[str, Drain]:
    """Estimate for each of these hosts, and for those of its accounts that are delivered."""
    lanes: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_lanes(lane.host), {"whose": list(hosts)}):
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
    seconds = [0.0]
    for row in able:
        budgets = (_budget(row, "hour", HOUR_SECONDS, now), _budget(row, "day", DAY_SECONDS, now))
        earned = (seconds_to_earn(row.points, row.reserve, **budget) for budget in budgets)
        begins = (row.may_begin - now).total_seconds()
        seconds.append(max(begins, *earned) + row.records * SECONDS_PER_RECORD)
    of_able, reserve = sum(row.records for row in able), max(row.reserve for row in able)
    budget = _budget(able[0], "budget", able[0].budget_seconds, now)
    shared = seconds_to_earn(of_able, reserve, **budget) + of_able * SECONDS_PER_RECORD
    return Drain(records, points, max(*seconds, shared))


def _budget(row: Any, name: str, window: float, now: datetime) -> dict[str, Any]:
    limit, left, reset = (getattr(row, f"{name}_{part}") for part in ("limit", "left", "reset"))
    seconds = (reset - now).total_seconds() if limit else 0.0
    return {"limit": limit or None, "left": left, "reset": seconds, "window": window}


@cache
def _lanes(column: sa.ColumnElement[str]) -> sa.Select[Any]:
    """Return each lane with one of these values in the column, and what waits in it."""
    cost = sa.case(
        (target.desired_op == DELETE, DELETE_POINTS),
        (target.observed_cid.is_(None), CREATE_POINTS),
        else_=PUT_POINTS,
    )

    may_begin = latest_of(lane.not_before, lane.paced_until, pds_host.c.retry_at, pds_host.c.paced_until)
    waiting = (
        sa.select(
            target.did,
            sa.func.count().label("records"),
            sa.func.sum(cost).label("points"),
            sa.func.max(sa.case((target.backfill, BACKFILL_RESERVE), else_=LIVE_RESERVE)).label("reserve"),
        )
        .join(mirror_lane, lane.did == target.did)
        .where(column.in_(sa.bindparam("whose", expanding=True)), is_open())
        .group_by(target.did)
        .subquery()
    )
    return (
        sa.select(
            waiting,
            lane.host,
            LANE_STATE.label("mirror_state"),
            *(lane[f"{name}_{part}"] for name in ("hour", "day") for part in ("limit", "left", "reset")),
            *(pds_host.c[f"budget_{part}"] for part in ("limit", "left", "reset", "seconds")),
            may_begin.label("may_begin"),
        )
        .select_from(mirror_lane)
        .outerjoin(pds_host, pds_host.c.host == lane.host)
        .join(waiting, waiting.c.did == lane.did)
    )
