"""Runs a service and the bare app on one database, and counts the processor time of their requests."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bench.cpu import backend_seconds
from bench.rounds import Seconds
from bench.services import NO_SETTINGS, Servers, start_process
from demo.service import Client
from devpds.ports import free_port
from devpds.process import Process

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
REQUESTS_PER_OPERATION: Final = 10
"""A single request is too short for the clock of processor time."""


@dataclass(frozen=True)
class HttpServer:
    """A process that answers HTTP requests, and the local database that it uses alone."""

    url: str
    pid: int
    database_url: str

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has taken since it began."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS_PER_SECOND

    def cpu_seconds_with_database(self) -> float:
        """Return the same with that of PostgreSQL's processes for this database; SQLite runs in the process itself."""
        return self.cpu_seconds() + sum(backend_seconds(self.database_url).values())


def cpu_per_request(clock: Callable[[], float], send: Callable[[], object], requests: int) -> Seconds:
    """Return the processor time of each of these requests, on average; the clock tells no less than a tick for all."""
    began = clock()
    send()
    return [max(clock() - began, 1 / TICKS_PER_SECOND) / requests]


@contextmanager
def beside_bare_app(
    servers: Servers, name: str, database_url: str | None, env: Mapping[str, str] = NO_SETTINGS
) -> Iterator[tuple[HttpServer, HttpServer, Client]]:
    """Yield a service, the bare app on the service's database, and a signed-in client of the service."""
    url = database_url or f"sqlite:///{servers.folder / name / 'mastertape.db'}"
    with (
        start_process(servers, name, database_url, env=env) as (service, client),
        _bare_app(url, servers.folder / f"bare-{name}.log") as bare,
    ):
        yield HttpServer(service.url, service.pid, url), bare, client


@contextmanager
def _bare_app(database_url: str, log: Path) -> Iterator[HttpServer]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Process(
        [sys.executable, "-m", "bench.bare_app", str(port)], log=log, env={"BENCH_DATABASE_URL": database_url}
    )
    process.start(lambda: _answers(url))
    try:
        yield HttpServer(url, process.pid, database_url)
    finally:
        process.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False
