"""How many uploads of audio wait, and how many are under way."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from eventstore.database import count_up_to_limit
from outbox.mirror.tables import IS_LEASED, IS_OPEN_JOB, blob_job

job: Final = blob_job.c


@dataclass(frozen=True)
class UploadCounts:
    """Each counted up to MAX_COUNTED."""

    waiting: int
    running: int


def upload_counts(connection: Connection, now: datetime) -> UploadCounts:
    waiting = select(job.did).where(IS_OPEN_JOB, job.lease_until <= now)
    running = select(job.did).where(IS_LEASED, job.lease_until > now)
    return UploadCounts(count_up_to_limit(connection, waiting), count_up_to_limit(connection, running))
