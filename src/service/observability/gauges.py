"""Gauges of waiting work, read from the database."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import ColumnElement, Connection, and_, func, select

from aggregates.track import Track
from api.responses.ops.waits import oldest_pending
from eventstore.event_log import EventLog
from outbox.mirror.due import is_open
from outbox.mirror.failure_causes import HOURS_OF_TREND
from outbox.mirror.host_state import breaker_state
from outbox.mirror.states import BreakerState, LaneState, MirrorState, TargetState
from outbox.mirror.tables import IS_TROUBLED, mirror_lane, mirror_target, pds_host
from outbox.views.causes import causes
from outbox.views.overview import LANE_STATE, LANES_OF_HOSTS
from outbox.views.status import BLOB_WANTED, STATE, TARGETS_AT_WORK, unfinished_records
from projections.history import history
from service.observability.subscribers import lanes_stalled_since, subscriber_rows

MAX_HOSTS: Final = 100
"""Hosts that one gauge names: those with the least budget left, with an open breaker, or failing for the longest."""
MAX_CAUSES: Final = 20
"""Causes that the gauge names: those met last."""
WORK_CLASSES: Final = ("delete", "edit", "backfill", "blob")

BLOB_REQUEST: Final = Track.BlobMigrationRequested.__name__

lane: Final = mirror_lane.c
target: Final = mirror_target.c
host: Final = pds_host.c


def gauges(log: EventLog) -> Iterator[GaugeMetricFamily]:
    """Yield all gauges; those of the outbox come from one snapshot."""
    with log.database.read() as connection:
        now = log.database.now(connection)
        yield _oldest(connection, now)
        yield _oldest_due(connection, now)
        yield _counted(
            "mirror_pending_records",
            "Records that are not as the log says, by state.",
            unfinished_records(connection).items(),
        )
        yield _counted("mirror_lanes", "Accounts, by the state of their lane.", _lanes(connection))
        yield _budgets(connection, now)
        yield _breakers(connection, now)
        yield _oldest_failing(connection, now)
        yield from _failing_hosts(connection, now)
        yield _causes(connection, now)
        yield _lags(connection, log)


def _oldest_upload(connection: Connection) -> datetime | None:
    """Return the time of the oldest request to copy audio to a PDS that already has the record."""
    requested = (
        select(func.max(history.c.at).label("at"))
        .select_from(TARGETS_AT_WORK)
        .join(history, and_(history.c.track_id == target.subject_id, history.c.kind == target.kind))
        .where(BLOB_WANTED, ~is_open(), STATE == MirrorState.PENDING, history.c.type == BLOB_REQUEST)
        .group_by(target.subject_id, target.kind)
        .subquery()
    )
    oldest: datetime | None = connection.scalar(select(func.min(requested.c.at)))
    return oldest


def _oldest(connection: Connection, now: datetime) -> GaugeMetricFamily:
    since = oldest_pending(connection)
    if (upload := _oldest_upload(connection)) is not None:
        since["blob"] = upload
    found = GaugeMetricFamily(
        "mirror_oldest_pending_seconds",
        "Age of the oldest change that the relay has still to deliver.",
        labels=["class"],
    )
    for work in WORK_CLASSES:
        age = (now - since[work]).total_seconds() if work in since else 0.0
        found.add_metric([work], max(0.0, age))
    return found


def _oldest_due(connection: Connection, now: datetime) -> GaugeMetricFamily:
    oldest = lanes_stalled_since(connection, now)
    found = GaugeMetricFamily(
        "mirror_oldest_due_seconds",
        "How long ago some account could have been sent its changes, and no relay has begun: no pause, limit or failure "
        "holds it back.",
    )
    found.add_metric([], (now - oldest).total_seconds() if oldest is not None else 0.0)
    return found


def _lanes(connection: Connection) -> Any:
    return connection.execute(
        select(LANE_STATE.label("mirror_state"), func.count(lane.did))
        .select_from(LANES_OF_HOSTS)
        .group_by("mirror_state")
    )


def _counted(name: str, what: str, rows: Any) -> GaugeMetricFamily:
    found = GaugeMetricFamily(name, what, labels=["state"])
    for state, count in rows:
        found.add_metric([state], count)
    return found


def _budgets(connection: Connection, now: datetime) -> GaugeMetricFamily:
    found = GaugeMetricFamily(
        "mirror_budget_remaining",
        "What is left of a rate-limit budget, as hosts report it.",
        labels=["scope", "host"],
    )
    for scope, left, reset in (
        ("host", host.budget_left, host.budget_reset),
        ("blobs", host.blob_left, host.blob_reset),
    ):
        known = select(host.host, left).where(left.is_not(None), reset > now)
        for origin, remaining in connection.execute(known.order_by(left).limit(MAX_HOSTS)):
            found.add_metric([scope, origin], remaining)
    return found


def _breakers(connection: Connection, now: datetime) -> GaugeMetricFamily:
    found = GaugeMetricFamily(
        "mirror_breaker_state",
        "1 half open, 2 open; hosts whose breaker is closed are not listed.",
        labels=["host"],
    )
    troubled = (
        select(pds_host).where(host.breaker != BreakerState.CLOSED).order_by(host.host).limit(MAX_HOSTS)
    )
    for row in connection.execute(troubled):
        found.add_metric([row.host], 1.0 if breaker_state(row, now) == BreakerState.HALF_OPEN else 2.0)
    return found


def _oldest_failing(connection: Connection, now: datetime) -> GaugeMetricFamily:
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


def _failing_hosts(connection: Connection, now: datetime) -> Iterator[GaugeMetricFamily]:
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


def _lags(connection: Connection, log: EventLog) -> GaugeMetricFamily:
    found = GaugeMetricFamily(
        "mastertape_subscriber_lag",
        "How far behind the log each subscriber is: events of a read model that another version made, or seconds in which "
        "the other ones had something to do and did not begin.",
        labels=["name", "kind"],
    )
    for each in subscriber_rows(connection, log):
        found.add_metric([each.name, each.kind], each.behind)
    return found
