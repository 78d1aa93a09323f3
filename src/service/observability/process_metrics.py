"""Metrics of the processes themselves: requests, connections and threads."""

from collections.abc import Iterable
from typing import Final

from anyio import CapacityLimiter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from eventstore.coordination.threads import Threads
from eventstore.database import Database

REQUEST_BUCKETS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""Label of a method that HTTP does not define, and of a path that no route has: clients may send any."""
UNANSWERED: Final = "none"
"""Label of the status of a request whose client left before the response began."""
SAMPLE_SECONDS: Final = 5


class HttpMetrics:
    """Counts requests by the template of their route, never by their path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests: Final = Counter(
            "http_requests", "Requests, by their status.", ["method", "route", "status"], registry=registry
        )
        self._seconds: Final = Histogram(
            "http_request_seconds",
            "From a request to the beginning of its response.",
            ["method", "route"],
            buckets=REQUEST_BUCKETS_SECONDS,
            registry=registry,
        )

    def answered(self, method: str, route: str | None, status: int | None, seconds: float) -> None:
        """Count a request; `status` is None if its client left before the response began."""
        labels = (method if method in METHODS else OTHER, route or OTHER)
        self._requests.labels(*labels, str(status or UNANSWERED)).inc()
        self._seconds.labels(*labels).observe(seconds)


class PoolMetrics:
    """Samples of pools; `serve --workers` shows the sum over the processes that run."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, what: str, label: str) -> Gauge:
            return Gauge(name, what, [label], registry=registry, multiprocess_mode="livesum")

        self._connections: Final = gauge(
            "database_connections", "Connections to the database: in use, and at most.", "state"
        )
        self._busy: Final = gauge("threads_busy", "Threads that work, by their pool.", "pool")
        self._size: Final = gauge("threads_size", "Threads of a pool, at most.", "pool")
        self._database: Database | None = None
        self._threads: tuple[Threads, ...] = ()
        self.requests: CapacityLimiter | None = None
        """The threads in which the framework runs synchronous routes."""

    def watch(self, database: Database, threads: Iterable[Threads]) -> None:
        """Sample these from now on."""
        self._database, self._threads = database, tuple(threads)

    def sample(self) -> None:
        """Set the gauges; callable from any thread."""
        if self._database is not None:
            self._connections.labels("in_use").set(self._database.connections_in_use)
            self._connections.labels("limit").set(self._database.max_connections)
        for pool in self._threads:
            self._busy.labels(pool.name).set(pool.busy)
            self._size.labels(pool.name).set(pool.size)
        if self.requests is not None:
            self._busy.labels("requests").set(self.requests.borrowed_tokens)
            self._size.labels("requests").set(self.requests.total_tokens)
