"""Metrics in Prometheus' format; no label names an account.

Counters belong to this process, or to those of one `serve --workers` together. Gauges are read from the database, so every process shows the same.
"""

import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from aggregates.tracks.track import Track
from api.responses.ops.work import earliest_event, oldest_pending
from eventstore.coordination.commit_signals import Listener
from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from eventstore.jobs.views import count_jobs
from eventstore.sql.database import Database
from outbox.blobs.jobs import BLOB_MISMATCH, BLOB_TYPE, TOO_LARGE_REASON
from outbox.mirror.delivery_counts import DeliveryCounts
from outbox.mirror.due import is_open
from outbox.mirror.hosts import breaker_state
from outbox.mirror.observe_only import observed_account
from outbox.mirror.states import BreakerState, MirrorState
from outbox.mirror.tables import host, lane, mirror_lane, pds_host
from outbox.pds.verdict import LANE_ERRORS, RECORD_ERRORS, Verdict
from outbox.ports import RelayMetrics
from outbox.relay.result import Outcome, Result
from outbox.views.failures import unfinished_records
from outbox.views.overview import LANE_STATE, LANES_OF_HOSTS
from outbox.views.status import BLOB_WANTED, IS_SAMPLED, STATE
from replay.reconcile.scan import Scanned
from service.observability.subscribers import subscriber_rows

MAX_HOSTS: Final = 100
"""Hosts that one gauge names: those with the least budget left, or with an open breaker."""
WORK_CLASSES: Final = ("delete", "edit", "backfill", "blob")


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
        doubted = sa.select(host.host, host.refuted_writes).where(host.refuted_writes > 0).order_by(host.host)
        yield gauge(
            "mirror_refuted_writes",
            "Writes that a host acknowledged, and that were not there when they were read back; hosts without are not listed.",
            ["host"],
            connection.execute(doubted.limit(MAX_HOSTS)),
        )
        yield gauge(
            "mastertape_subscriber_lag",
            "How far behind the log each subscriber is: events of a read model that another version made, or seconds in "
            "which the other ones had something to do and did not begin.",
            ["name", "kind"],
            [(each.name, each.kind, each.behind) for each in subscriber_rows(connection, log)],
        )


def _of_waiting_work(connection: sa.Connection, now: datetime) -> Iterator[GaugeMetricFamily]:
    since: dict[str, datetime | None] = {**oldest_pending(connection)}
    # the oldest request to copy audio to a PDS that already has the record
    is_copy_alone = (IS_SAMPLED, BLOB_WANTED, ~is_open(), STATE == MirrorState.PENDING)
    requested_at = earliest_event(connection, Track.BlobMigrationRequested.__name__, *is_copy_alone)
    since["blob"] = requested_at or since.get("blob")
    yield gauge(
        "mirror_oldest_pending_seconds",
        "Age of the oldest change that the relay has still to deliver.",
        ["class"],
        [(work, max(0.0, (now - (since.get(work) or now)).total_seconds())) for work in WORK_CLASSES],
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
_observed: Final = observed_account.c
_ALIKE: Final = (
    sa.select(_each.bucket, sa.func.min(_each.did).label("did"), sa.func.count().label("lanes"))
    .group_by(
        *(_each.bucket, _each.host, _each.state, _each.paused, _each.failures > 0),
        sa.exists().where(_observed.did == _each.did, _observed.bucket == _each.bucket),
    )
    .subquery()
)
"""One of the lanes of a bucket that are shown alike, and how many there are: the state of one costs ten times as much as to count it."""
_IS_ONE: Final = sa.and_(_ALIKE.c.did == lane.did, _ALIKE.c.bucket == lane.bucket)
_LANES: Final = (
    sa.select(LANE_STATE.label("mirror_state"), sa.func.sum(_ALIKE.c.lanes))
    .select_from(LANES_OF_HOSTS.join(_ALIKE, _IS_ONE))
    .group_by("mirror_state")
)


REQUEST_BUCKETS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNANSWERED: Final = "none"
"""Label of the status of a request whose client left before the response began."""
SAMPLE_SECONDS: Final = 5


IS_ONE_OF_SEVERAL: Final = "PROMETHEUS_MULTIPROC_DIR" in os.environ
"""Whether prometheus_client keeps the counts in files that the processes of one `serve --workers` share."""
DELIVERY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400)
NAMED_ERRORS: Final = {*LANE_ERRORS, *RECORD_ERRORS, BLOB_MISMATCH, BLOB_TYPE, TOO_LARGE_REASON}
STATUS_ERROR: Final = re.compile(r"http_\d{3}")
OTHER: Final = "other"
"""Label of a method that HTTP does not define, and of a path that no route has: clients may send any."""


class Metrics(RelayMetrics):
    """Counts for the outbox, scans, the firehose and session refreshes."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self._gauges: Final = CollectorRegistry()
        release = {"version": version("mastertape"), "python": platform.python_version()}
        self._gauges.register(
            _Collected(
                lambda: [InfoMetricFamily("mastertape_build", "The release that runs.", value=release)]
            )
        )
        if not IS_ONE_OF_SEVERAL:
            ProcessCollector(registry=self.registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=self.registry)

        self._attempts = counter(
            "mirror_attempts", "Writes and uploads sent to PDSes.", "op", "outcome", "error"
        )
        self._mismatches = counter(
            "mirror_cid_mismatches", "Records of which a PDS took something else than it was sent."
        )
        self._scans = counter("mirror_scans", "Repos that a scan visited, by result.", "result")
        self._drift = counter("mirror_drift", "Records that a scan found changed elsewhere.", "kind")
        self._heard = counter("firehose_messages", "Firehose messages about our accounts, by effect.", "what")
        self._fenced = counter(
            "mirror_fenced_commits", "Deliveries that outlived their lease and whose result was refused."
        )
        self._refreshes = counter("oauth_refresh", "Refreshes of sessions at PDSes.", "outcome")
        self._requests = counter("http_requests", "Requests, by their status.", "method", "route", "status")
        self._request_seconds = Histogram(
            "http_request_seconds",
            "From a request to the beginning of its response.",
            ["method", "route"],
            buckets=REQUEST_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._connections = Gauge(
            "database_connections",
            "Connections to the database: in use, and at most.",
            ["state"],
            registry=self.registry,
            multiprocess_mode="livesum",  # the sum over the processes that run
        )
        self._database: Database | None = None
        self.deliveries: Final = DeliveryCounts(release["version"])
        """What the console shows over time; a registry keeps no hours."""
        self._delivery = Histogram(
            "mirror_delivery_seconds",
            "From the commit of a generation to its confirmation by the PDS.",
            buckets=DELIVERY_BUCKETS,
            registry=self.registry,
        )

    def watch(self, log: EventLog, listener: Listener) -> None:
        """Add the gauges of the database, and whether the listener for other processes' commits is alive."""
        self._database = log.database
        self._gauges.register(_Collected(lambda: _of_database(log)))
        self._add_gauge(
            "listener_alive",
            "1 while commits of other processes are received.",
            [],
            lambda: [[float(listener.alive)]],
        )

    def watch_disks(self, free: Callable[[], Mapping[Path, int]]) -> None:
        self._add_gauge(
            "disk_free_bytes",
            "Free space on the disk of a folder of the service.",
            ["folder"],
            lambda: [(str(folder), room) for folder, room in free().items()],
        )

    def _add_gauge(
        self, name: str, what: str, labels: Sequence[str], read: Callable[[], Iterable[Sequence[Any]]]
    ) -> None:
        self._gauges.register(_Collected(lambda: [gauge(name, what, labels, read())]))

    def text(self) -> bytes:
        """Return all metrics in the text format; the counts of all processes of one `serve --workers`."""
        self.sample_connections()
        counts = self.registry
        if IS_ONE_OF_SEVERAL:
            counts = CollectorRegistry()
            MultiProcessCollector(counts)  # type: ignore[no-untyped-call]
        return generate_latest(counts) + generate_latest(self._gauges)

    def sample_connections(self) -> None:
        """Set the gauge; callable from any thread."""
        if self._database is not None:
            self._connections.labels("in_use").set(self._database.connections_in_use)
            self._connections.labels("limit").set(self._database.max_connections)

    def answered(self, method: str, route: str | None, status: int | None, seconds: float) -> None:
        """Count a request by the template of its route; `status` is None if its client left before the response began."""
        labels = (method if method in METHODS else OTHER, route or OTHER)
        self._requests.labels(*labels, str(status or UNANSWERED)).inc()
        self._request_seconds.labels(*labels).observe(seconds)

    def attempted(self, op: str, verdict: Verdict) -> None:
        """Count an attempt; of errors, which a PDS may name as it likes, only known ones by their name."""
        error, is_ours = verdict.error or "", verdict.status is None
        if error and not (is_ours or error in NAMED_ERRORS or STATUS_ERROR.fullmatch(error)):
            error = OTHER
        self._attempts.labels(op, verdict.kind.value, error).inc()

    def settled(self, result: Result) -> None:
        if result.is_mismatch:
            self._mismatches.inc()
        if result.outcome is not Outcome.DELIVERED or not result.task.is_open:
            return
        for each in result.task.since_ack:
            if each.position != result.task.gen:
                continue
            now = datetime.now(UTC)
            seconds = max(0.0, (now - each.recorded_at).total_seconds())
            self._delivery.observe(seconds)
            self.deliveries.count(now, seconds)

    def fenced(self) -> None:
        self._fenced.inc()

    def scanned(self, scanned: Scanned) -> None:
        for result, repos in scanned.repos.items():
            self._scans.labels(result).inc(repos)
        for kind, records in scanned.drifts.items():
            self._drift.labels(kind).inc(records)

    def heard(self, what: str) -> None:
        self._heard.labels(what).inc()

    def refreshed(self, outcome: str) -> None:
        self._refreshes.labels(outcome).inc()


class _Collected(Collector):
    """Asks for metrics with each scrape, and not at registration, where prometheus_client would ask too."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read: Final = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._read()


def _of_database(log: EventLog) -> list[Metric]:
    """Return the gauges of the database; only `database_up 0` while it is unreachable."""
    try:
        found, up = [*gauges(log)], 1.0
    except (SQLAlchemyError, EventStoreError):
        found, up = [], 0.0
    return [gauge("database_up", "Whether the gauges could be read.", [], [[up]]), *found]
