"""Leases of periodic jobs: only the process that holds a job's lease runs it."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Column, Table, Text, update

from eventstore.coordination.leases import take_lease
from eventstore.database import Database
from eventstore.schema import UtcDateTime, metadata

job_lease: Final = Table(
    "job_lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
)


class JobLeases:
    """The job leases of one process."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database: Final = database
        self._owner: Final = owner

    @contextmanager
    def acquire(self, name: str, *, lease: timedelta, interval: timedelta) -> Generator[bool]:
        """Yield whether this process is to run the job now.

        For the length of the lease no other process starts the job; after a run it is due again once the interval has passed
        since the start of the run, after an exception at once.
        """
        acquired_at = self._acquire(name, lease)
        if acquired_at is None:
            yield False
            return
        try:
            yield True
        except BaseException:
            self._set(name, acquired_at)
            raise
        self._set(name, acquired_at + interval)

    def _acquire(self, name: str, lease: timedelta) -> datetime | None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            holder = {"owner": self._owner, "lease_until": now + lease}
            is_free = job_lease.c.lease_until <= now
            return now if take_lease(connection, job_lease, {"name": name}, holder, is_free=is_free) else None

    def _set(self, name: str, until: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(job_lease)
                .where(job_lease.c.name == name, job_lease.c.owner == self._owner)
                .values(lease_until=until)
            )
