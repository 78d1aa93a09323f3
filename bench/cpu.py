"""Processor time of this process and of the local PostgreSQL server, which a busy machine changes less than the clock."""

import time
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import make_url

from eventstore.database import Database

_BACKENDS: Final = (
    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
)


class Cpu:
    """Counts from its creation; backends that end meanwhile are not counted."""

    def __init__(self, database: Database) -> None:
        self._database_url = database.url
        self._backends = backend_seconds(self._database_url)
        self._process = time.process_time()

    def seconds(self) -> float:
        process = time.process_time() - self._process
        backends = backend_seconds(self._database_url)
        return process + sum(now - self._backends.get(pid, 0.0) for pid, now in backends.items())


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
