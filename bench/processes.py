"""Starts the bare app as a process, and counts the processor time of processes and of their databases."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psycopg
from sqlalchemy import make_url

from devpds.process import Process
from devpds.server import free_port

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_BACKENDS: Final = "select pid from pg_stat_activity where datname = current_database()"


@dataclass(frozen=True)
class HttpServer:
    """A process that answers HTTP requests, and the local database that it uses alone."""

    url: str
    pid: int
    database_url: str

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has taken since it began."""
        return _cpu_seconds(self.pid)

    def cpu_seconds_with_database(self) -> float:
        """Return the same with that of PostgreSQL's processes for this database; SQLite runs in the process itself."""
        return self.cpu_seconds() + sum(map(_cpu_seconds, self._backends()))

    def _backends(self) -> list[int]:
        if self.database_url.startswith("sqlite"):
            return []
        url = make_url(self.database_url).set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
            return [pid for (pid,) in connection.execute(_BACKENDS) if pid != connection.info.backend_pid]


@contextmanager
def bare_app(database_url: str, log: Path) -> Iterator[HttpServer]:
    """Yield the bare app on the service's own database."""
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


def _cpu_seconds(pid: int) -> float:
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:  # the server is elsewhere, or the backend has ended
        return 0.0
    return (int(user) + int(system)) / TICKS_PER_SECOND
