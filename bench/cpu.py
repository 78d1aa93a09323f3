"""Processor time of this process and of the local PostgreSQL server, which a busy machine changes less than the clock."""

import time
from pathlib import Path

from sqlalchemy import text

from eventstore.database import Database

_BACKENDS = text("select pid from pg_stat_activity where datname = current_database()")


class Cpu:
    """Counts from its creation; backends that end meanwhile are not counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = time.process_time()
        self._backends = self._seconds_by_pid()

    def seconds(self) -> float:
        backends = self._seconds_by_pid()
        server = sum(now - self._backends.get(pid, 0.0) for pid, now in backends.items())
        return time.process_time() - self._process + server

    def _seconds_by_pid(self) -> dict[int, float]:
        if self._database.is_sqlite:
            return {}
        with self._database.read_committed() as connection:
            pids = connection.scalars(_BACKENDS).all()
        return {pid: _seconds_of(pid) for pid in pids}


def _seconds_of(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:  # the server is elsewhere, or the backend has ended
        return 0.0
