"""Processor time of this process and of the local PostgreSQL server, which a busy machine changes less than the clock."""

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import make_url

from eventstore.sql.database import Database

_BACKENDS: Final = (
    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
)


class Cpu:
    """Counts from its creation, also what a backend used that has ended meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database_url = database.url
        self._backends = backend_seconds(self._database_url)
        self._ended = _ended_seconds(self._backends)
        self._process = time.process_time()

    def seconds(self) -> float:
        process = time.process_time() - self._process
        backends = backend_seconds(self._database_url)
        alive = sum(now - self._backends.get(pid, 0.0) for pid, now in backends.items())
        known = sum(seconds for pid, seconds in self._backends.items() if pid not in backends)
        return process + alive + max(0.0, _ended_seconds(backends) - self._ended - known)


def backend_seconds(database_url: str) -> dict[int, float]:
    """Return the processor time of each of PostgreSQL's processes for this database; SQLite has none."""
    if database_url.startswith("sqlite"):
        return {}
    url = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        return {pid: _seconds_of(pid) for (pid,) in connection.execute(_BACKENDS)}


def _seconds_of(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:  # the server is elsewhere, or the backend has ended
        return 0.0


def _ended_seconds(backends: Collection[int]) -> float:
    """Return the processor time of all processes of these backends' server that have ended, in steps of 10 ms."""
    for pid in backends:
        try:
            server = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            user, system = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[13:15]
        except OSError:
            continue
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0.0
