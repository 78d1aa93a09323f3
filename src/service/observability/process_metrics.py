"""Metrics of the processes themselves: requests, connections, threads, disks, and the release that runs."""

import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from eventstore.coordination.threads import Threads
from eventstore.database import Database

REQUEST_BUCKETS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""Label of a method that HTTP does not define, and of a path that no route has: clients may send any."""
UNANSWERED: Final = "none"
"""Label of the status of a request whose client left before the response began."""
SAMPLE_SECONDS: Final = 5


class Limiter(Protocol):
    """The threads in which the framework runs synchronous routes (anyio's CapacityLimiter)."""

    @property
    def borrowed_tokens(self) -> int: ...

    @property
    def total_tokens(self) -> float: ...


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
        self._requests: Limiter | None = None

    def watch(self, database: Database, threads: Iterable[Threads]) -> None:
        """Sample these from now on."""
        self._database, self._threads = database, tuple(threads)

    def watch_requests(self, limiter: Limiter) -> None:
        """Sample the framework's threads too."""
        self._requests = limiter

    def sample(self) -> None:
        """Set the gauges; callable from any thread."""
        if self._database is not None:
            self._connections.labels("in_use").set(self._database.connections_in_use)
            self._connections.labels("limit").set(self._database.max_connections)
        for pool in self._threads:
            self._busy.labels(pool.name).set(pool.busy)
            self._size.labels(pool.name).set(pool.size)
        if self._requests is not None:
            self._busy.labels("requests").set(self._requests.borrowed_tokens)
            self._size.labels("requests").set(self._requests.total_tokens)


class Collected(Collector):
    """Asks for metrics with each scrape, and not at registration, where prometheus_client would ask too."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read: Final = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._read()


def free_space(rooms: Mapping[Path, int]) -> Iterable[Metric]:
    free = GaugeMetricFamily(
        "disk_free_bytes", "Free space on the disk of a folder of the service.", labels=["folder"]
    )
    for folder, room in rooms.items():
        free.add_metric([str(folder)], room)
    yield free


def build_info() -> Iterable[Metric]:
    known = {"version": version("mastertape"), "python": platform.python_version()}
    yield InfoMetricFamily("mastertape_build", "The release that runs.", value=known)
