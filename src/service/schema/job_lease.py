"""One runner among all processes for each periodic job: who holds the job's row runs it."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Column, Table, Text, update

from eventstore.append import upsert
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
    """The leases that one process takes."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database: Final = database
        self._owner: Final = owner

    @contextmanager
    def held(self, name: str, *, at_most: timedelta, every: timedelta) -> Generator[bool]:
        """Whether this process is to run the job now.

        Nobody else starts it for as long as it may run; after a run, not before it is due again.
        """
        taken_at = self._take(name, at_most)
        if taken_at is None:
            yield False
            return
        try:
            yield True
        except BaseException:
            self._set(name, taken_at)  # whoever comes next may try
            raise
        self._set(name, taken_at + every)

    def _take(self, name: str, at_most: timedelta) -> datetime | None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            taken = {"owner": self._owner, "lease_until": now + at_most}
            row = connection.execute(
                upsert(connection, job_lease)
                .values(name=name, **taken)
                .on_conflict_do_update(
                    index_elements=[job_lease.c.name], set_=taken, where=job_lease.c.lease_until <= now
                )
                .returning(job_lease.c.name)
            ).one_or_none()
        return None if row is None else now

    def _set(self, name: str, until: datetime) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(job_lease)
                .where(job_lease.c.name == name, job_lease.c.owner == self._owner)
                .values(lease_until=until)
            )
