"""Gauges of waiting work, read from the database."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily

from aggregates.track import Track
from api.responses.ops.work import oldest_pending
from eventstore.event_log import EventLog
from eventstore.jobs.queue import count_jobs
from outbox.mirror.due import is_open
from outbox.mirror.hosts import breaker_state
from outbox.mirror.observe_only import observed_account
from outbox.mirror.states import BreakerState, MirrorState
from outbox.mirror.tables import mirror_lane, mirror_target, pds_host
from outbox.views.failures import unfinished_records
from outbox.views.overview import LANE_STATE, LANES_OF_HOSTS
from outbox.views.status import BLOB_WANTED, IS_SAMPLED, STATE, TARGETS_AT_WORK
from projections.history import history
from service.observability.subscribers import lanes_stalled_since, subscriber_rows

MAX_HOSTS: Final = 100
"""Hosts that one gauge names: those with the least budget left, or with an open breaker."""
WORK_CLASSES: Final = ("delete", "edit", "backfill", "blob")

lane: Final = mirror_lane.c
target: Final = mirror_target.c
host: Final = pds_host.c


def gauge(name: str, what: str, labels: Sequence[str], samples: Iterable[Sequence[Any]]) -> GaugeMetricFamily:
    """Return a gauge; of each sample the last part is its value, those before it are its labels."""
    found = GaugeMetricFamily(name, what, labels=labels)
    for *values, value in samples:
        found.add_metric(values, value)
    return found


def gauges(log: EventLog) -> Iterator[GaugeMetricFamily]:
    """Yield all gauges; those of the outbox come from one snapshot."""
    with log.database.read() as connection:
        now = log.database.now(connection)
        yield from _of_waiting_work(connection, now)
        yield from _of_hosts(connection, now)
        yield gauge(
            "mastertape_subscriber_lag",
            "How far behind the log each subscriber is: events of a read model that another version made, or seconds in "
            "which the other ones had something to do and did not begin.",
            ["name", "kind"],
            [(each.name, each.kind, each.behind) for each in subscriber_rows(connection, log)],
        )


def _of_waiting_work(connection: sa.Connection, now: datetime) -> Iterator[GaugeMetricFamily]:
    requested = (
        sa.select(sa.func.max(history.c.at).label("at"))
        .select_from(TARGETS_AT_WORK)
        .join(history, sa.and_(history.c.track_id == target.subject_id, history.c.kind == target.kind))
        .where(IS_SAMPLED, BLOB_WANTED, ~is_open(), STATE == MirrorState.PENDING)
        .where(history.c.type == Track.BlobMigrationRequested.__name__)
        .group_by(target.subject_id, target.kind)
        .subquery()
    )
    since: dict[str, datetime | None] = {**oldest_pending(connection)}
    # the oldest request to copy audio to a PDS that already has the record
    since["blob"] = connection.scalar(sa.select(sa.func.min(requested.c.at))) or since.get("blob")
    yield gauge(
        "mirror_oldest_pending_seconds",
        "Age of the oldest change that the relay has still to deliver.",
        ["class"],
        [(work, _seconds(since.get(work), now)) for work in WORK_CLASSES],
    )
    yield gauge(
        "mirror_oldest_due_seconds",
        "How long ago some account could have been sent its changes, and no relay has begun: no pause, limit or failure "
        "holds it back.",
        [],
        [[_seconds(lanes_stalled_since(connection, now), now)]],
    )
    yield gauge(
        "mirror_pending_records",
        "Records that are not as the log says, by state: of those that wait, are in trouble and are uploaded, up to 10,000 each.",
        ["state"],
        unfinished_records(connection).items(),
    )
    yield gauge(
        "mastertape_jobs",
        "Jobs that wait, run or have failed, up to 10,000 of each kind.",
        ["kind", "state"],
        count_jobs(connection),
    )
    yield gauge(
        "mirror_lanes",
        "Accounts, by the state of their lane.",
        ["state"],
        connection.execute(_LANES),
    )


_each: Final = mirror_lane.alias().c
_ALIKE: Final = (
    sa.select(sa.func.min(_each.did).label("did"), sa.func.count().label("lanes"))
    .group_by(
        *(_each.host, _each.state, _each.paused, _each.failures > 0),
        _each.did.in_(sa.select(observed_account.c.did)),
    )
    .subquery()
)
"""One of the lanes that are shown alike, and how many there are: the state of one costs ten times as much as to count it."""
_LANES: Final = (
    sa.select(LANE_STATE.label("mirror_state"), sa.func.sum(_ALIKE.c.lanes))
    .select_from(LANES_OF_HOSTS.join(_ALIKE, _ALIKE.c.did == lane.did))
    .group_by("mirror_state")
)


def _of_hosts(connection: sa.Connection, now: datetime) -> Iterator[GaugeMetricFamily]:
    budgets = {"host": (host.budget_left, host.budget_reset), "blobs": (host.blob_left, host.blob_reset)}
    yield gauge(
        "mirror_budget_remaining",
        "What is left of a rate-limit budget, as hosts report it.",
        ["scope", "host"],
        [
            (scope, *row)
            for scope, (left, reset) in budgets.items()
            for row in connection.execute(
                sa.select(host.host, left)
                .where(left.is_not(None), reset > now)
                .order_by(left)
                .limit(MAX_HOSTS)
            )
        ],
    )
    troubled = sa.select(pds_host).where(host.breaker != BreakerState.CLOSED).order_by(host.host)
    yield gauge(
        "mirror_breaker_state",
        "1 half open, 2 open; hosts whose breaker is closed are not listed.",
        ["host"],
        [
            (row.host, 1.0 if breaker_state(row, now) == BreakerState.HALF_OPEN else 2.0)
            for row in connection.execute(troubled.limit(MAX_HOSTS))
        ],
    )


def _seconds(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0
