"""Gauges of what fails: since when, and why."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import ColumnElement, Connection, func, select

from outbox.mirror.failure_causes import HOURS_OF_TREND
from outbox.mirror.states import LaneState, TargetState
from outbox.mirror.tables import IS_TROUBLED, mirror_lane, mirror_target, pds_host
from outbox.views.causes import causes

MAX_HOSTS: Final = 100
"""Hosts that one gauge names: those that have failed for the longest."""
MAX_CAUSES: Final = 20
"""Causes that the gauge names: those met last."""

host: Final = pds_host.c
lane: Final = mirror_lane.c
target: Final = mirror_target.c


def failing(connection: Connection, now: datetime) -> Iterator[GaugeMetricFamily]:
    yield _oldest(connection, now)
    yield from _hosts(connection, now)
    yield _causes(connection, now)


def _oldest(connection: Connection, now: datetime) -> GaugeMetricFamily:
    found = GaugeMetricFamily(
        "mirror_oldest_failing_seconds",
        "For how long the host, account or record that has failed for the longest does so, of those that are tried again.",
        labels=["of"],
    )
    of: dict[str, tuple[ColumnElement[datetime], ColumnElement[bool]]] = {
        "host": (host.failing_since, ~host.paused),
        "account": (lane.failing_since, lane.state == LaneState.READY),
        "record": (target.failing_since, IS_TROUBLED & (target.state == TargetState.BACKOFF)),
    }
    for name, (column, which) in of.items():
        since = connection.scalar(select(func.min(column)).where(which))
        found.add_metric([name], (now - since).total_seconds() if since is not None else 0.0)
    return found


def _hosts(connection: Connection, now: datetime) -> Iterator[GaugeMetricFamily]:
    since = GaugeMetricFamily(
        "mirror_host_failing_seconds",
        "For how long a host has failed; hosts that do not are not listed.",
        labels=["host"],
    )
    last = GaugeMetricFamily(
        "mirror_host_last_success_seconds",
        "How long ago a host that fails last answered a delivery as it should.",
        labels=["host"],
    )
    rows = connection.execute(
        select(host.host, host.failing_since, func.max(lane.last_success_at).label("last_success_at"))
        .select_from(pds_host)
        .outerjoin(mirror_lane, lane.host == host.host)
        .where(host.failing_since.is_not(None))
        .group_by(host.host, host.failing_since)
        .order_by(host.failing_since)
        .limit(MAX_HOSTS)
    )
    for row in rows:
        since.add_metric([row.host], (now - row.failing_since).total_seconds())
        if row.last_success_at is not None:
            last.add_metric([row.host], (now - row.last_success_at).total_seconds())
    yield since
    yield last


def _causes(connection: Connection, now: datetime) -> GaugeMetricFamily:
    found = GaugeMetricFamily(
        "mirror_failures_of_day",
        f"Failures of the last {HOURS_OF_TREND} hours by cause, of the causes that were met last.",
        labels=["host", "phase", "status", "error"],
    )
    for each in causes(connection, now, limit=MAX_CAUSES):
        row = each.row
        status = "" if row.status is None else str(row.status)
        found.add_metric([row.host, row.phase, status, row.error], sum(each.trend))
    return found
