"""Numbers for a monitoring system, in Prometheus' format. None of them names an account.

Counters are this process's own; gauges are the database's, the same from every process, and read anew only now and then.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from aggregates.track import Track
from eventstore.commit_signals import Listener
from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from outbox.blobs.upload_results import BLOB_MISMATCH, BLOB_TYPE, TOO_LARGE_REASON
from outbox.firehose.subscription import StreamStatus
from outbox.pds.verdict import LANE_ERRORS, RECORD_ERRORS, Kind, Scope, Verdict
from outbox.relay.read_back import Finding
from outbox.relay.result import Outcome, Result
from replay.reconcile.scan import Scanned
from service.observability.gauges import gauges

KEPT_SECONDS: Final = 5.0
SHARE: Final = 20
"""Reading the gauges takes at most a twentieth of the time, however long it takes."""
DELIVERY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400)
NAMED_ERRORS: Final = (
    LANE_ERRORS.keys()
    | RECORD_ERRORS.keys()
    | {
        BLOB_MISMATCH,
        BLOB_TYPE,
        TOO_LARGE_REASON,
    }
)
STATUS_ERROR: Final = re.compile(r"http_\d{3}")
OTHER: Final = "other"
POLICIES: Final = {Outcome.HELD: "hold", Outcome.MISSING: "missing"}
SCOPES: Final = {Scope.LANE: "account", Scope.HOST: "host", Scope.BLOBS: "blobs"}


class Metrics:
    """The outbox's Recorder, and what identity tells of its refreshes; `text` is what a monitoring system reads."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=self.registry)

        self._attempts = counter(
            "mirror_attempts", "Writes and uploads sent to PDSes.", "op", "outcome", "error"
        )
        self._superseded = counter(
            "mirror_superseded", "Generations that a newer one carried along, never sent themselves."
        )
        self._readback = counter("mirror_readback", "Records that were read, by what they meant.", "result")
        self._conflicts = counter(
            "mirror_conflicts", "Records that somebody else had changed, by what was done.", "policy"
        )
        self._mismatches = counter(
            "mirror_cid_mismatches", "Records of which a PDS took something else than it was sent."
        )
        self._scans = counter("mirror_scans", "Repos that a scan came to, by what it did.", "result")
        self._drift = counter("mirror_drift", "Records that a scan found changed elsewhere.", "kind")
        self._heard = counter("firehose_messages", "What hosts told of our accounts, by what it was.", "what")
        self._lease_lost = counter("mirror_lease_lost", "Flights that went on after their lease.")
        self._fenced = counter("mirror_fenced_commits", "Those of them that had something to write down.")
        self._refreshes = counter("oauth_refresh", "Refreshes of sessions at PDSes.", "outcome")
        self._uploaded = counter("blob_upload_bytes", "Bytes of blobs that reached their PDS.")
        self._delivery = Histogram(
            "mirror_delivery_seconds",
            "From the commit of a generation to its confirmation by the PDS.",
            buckets=DELIVERY_BUCKETS,
            registry=self.registry,
        )
        self._waits = Histogram(
            "mirror_ratelimit_wait_seconds",
            "How long PDSes asked to be left alone, by what was over its limit.",
            ["scope"],
            buckets=DELIVERY_BUCKETS,
            registry=self.registry,
        )

    def watch(self, log: EventLog, listener: Listener) -> None:
        """Show the database's gauges too, and whether this process would hear of another's commit."""
        self.registry.register(_Gauges(log))
        alive = Gauge(
            "listener_alive", "1 while commits of other processes are heard.", registry=self.registry
        )
        alive.set_function(lambda: float(listener.alive))

    def watch_streams(self, statuses: Callable[[], Mapping[str, StreamStatus]]) -> None:
        """Show how this process hears the hosts that it listens to."""
        self.registry.register(_Streams(statuses))

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self.registry)

    def attempted(self, op: str, verdict: Verdict) -> None:
        """Count an attempt by how it ended."""
        self._attempts.labels(op, verdict.kind.value, _error_label(verdict)).inc()

    def paced(self, verdict: Verdict) -> None:
        """Count for how long a PDS asked to be left alone."""
        scope = SCOPES.get(verdict.scope, "account")
        self._waits.labels(scope).observe(verdict.requested_pause(datetime.now(UTC)).total_seconds())

    def read_back(self, finding: Finding) -> None:
        """Count what records meant."""
        self._readback.labels(finding.name.lower()).inc()

    def merged(self) -> None:
        """Count a record that somebody else has added to."""
        self._conflicts.labels("merged").inc()

    def resolved(self, keep: str) -> None:
        """Count what an owner has decided: ours or theirs."""
        self._conflicts.labels(keep).inc()

    def settled(self, result: Result) -> None:
        """Count what became of a generation."""
        if result.is_mismatch:
            self._mismatches.inc()
        if (policy := POLICIES.get(result.outcome)) is not None:
            self._conflicts.labels(policy).inc()
        if result.verdict.kind is Kind.PACED:
            self.paced(result.verdict)
        if result.outcome is Outcome.DELIVERED and result.task.is_open:
            self._delivered(result)

    def lease_lost(self, *, fenced: bool) -> None:
        """Count a flight that was too late."""
        self._lease_lost.inc()
        if fenced:
            self._fenced.inc()

    def uploaded(self, size: int) -> None:
        """Count bytes."""
        self._uploaded.inc(size)

    def scanned(self, scanned: Scanned) -> None:
        """Count what a scan came to."""
        for result, repos in scanned.repos.items():
            self._scans.labels(result).inc(repos)
        for kind, records in scanned.drifts.items():
            self._drift.labels(kind).inc(records)

    def heard(self, what: str) -> None:
        """Count a message of a host's stream."""
        self._heard.labels(what).inc()

    def refreshed(self, outcome: str) -> None:
        """Count a refresh by how it ended."""
        self._refreshes.labels(outcome).inc()

    def _delivered(self, result: Result) -> None:
        open_ = [
            each
            for each in result.task.history
            if isinstance(each.event, Track.Event)
            and each.event.touches_record()
            and result.task.acked_gen < each.position <= result.task.gen
        ]
        if open_:
            self._superseded.inc(len(open_) - 1)
            took = datetime.now(UTC) - open_[-1].recorded_at
            self._delivery.observe(max(0.0, took.total_seconds()))


def _error_label(verdict: Verdict) -> str:
    """Return the error's name, from a fixed set: a PDS may invent any name."""
    error = verdict.error
    if error is None:
        return ""
    is_ours = verdict.status is None
    return error if is_ours or error in NAMED_ERRORS or STATUS_ERROR.fullmatch(error) else OTHER


class _Streams(Collector):
    """The streams of this process."""

    def __init__(self, statuses: Callable[[], Mapping[str, StreamStatus]]) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """Say nothing of them before somebody asks."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the gauges."""
        alive = GaugeMetricFamily("firehose_alive", "1 while the host is heard.", labels=["host"])
        lag = GaugeMetricFamily(
            "firehose_lag_seconds", "How late the last message of the host came.", labels=["host"]
        )
        for host, status in self._statuses().items():
            alive.add_metric([host], float(status.alive))
            lag.add_metric([host], status.lag_seconds)
        return (alive, lag)


class _Gauges(Collector):
    """The gauges of the database, kept for a while."""

    def __init__(self, log: EventLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._kept: list[Metric] = []
        self._keep_until = -1.0

    def describe(self) -> Iterable[Metric]:
        """Say nothing of them before somebody asks: it takes the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return them; without the database, only that it is down."""
        began = self._clock()
        if began >= self._keep_until:
            self._kept = self._read()
            took = self._clock() - began
            self._keep_until = self._clock() + max(KEPT_SECONDS, SHARE * took)
        return self._kept

    def _read(self) -> list[Metric]:
        up = GaugeMetricFamily("database_up", "Whether the gauges could be read.")
        try:
            found = [*gauges(self._log)]
        except (SQLAlchemyError, EventStoreError):
            up.add_metric([], 0.0)
            return [up]
        up.add_metric([], 1.0)
        return [up, *found]
