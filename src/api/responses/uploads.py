"""The uploads of audio to PDSes as JSON: what waits, and why some fail."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel
from sqlalchemy import Connection, and_, case, func, or_, select

from eventstore.database import MAX_COUNTED, count_up_to_limit
from eventstore.jobs.table import IS_LEASED, job
from outbox.mirror.tables import IS_FAILING, IS_OPEN_JOB, UPLOAD, blob_job, failure_cause
from projections.blob_migration import AUDIO_COPY_STATE, AudioCopyState
from projections.tracks.table import tracks

MOST_CAUSES: Final = 10
# Others have failed too, but their owner has deleted the track or gated its audio since.
_IS_REFUSED: Final = and_(~IS_OPEN_JOB, AUDIO_COPY_STATE == AudioCopyState.FAILED)
REFUSED_AUDIO: Final = (
    select(blob_job.c.subject_id)
    .join_from(blob_job, tracks, tracks.c.track_id == blob_job.c.subject_id)
    .where(IS_FAILING, _IS_REFUSED)
)
"""Selects the ids of tracks whose audio their PDS refused, from an index of what failed."""


class UploadFailureRow(BaseModel):
    """Why uploads fail: `retried` are tried again, `refused` are not; `cause` is its id among the failures."""

    cause: str | None
    host: str | None
    status: int | None
    error: str | None
    retried: int
    refused: int
    failing_since: datetime


class UploadsBody(BaseModel):
    """Copies of audio to PDSes; those that fail and are tried again wait too."""

    waiting: int
    running: int
    failures: list[UploadFailureRow]


def uploads_body(connection: Connection, now: datetime) -> UploadsBody:
    uploading = select(job.c.id).where(job.c.kind == UPLOAD, IS_LEASED, job.c.lease_until > now)
    running = count_up_to_limit(connection, uploading)
    unfinished = count_up_to_limit(connection, select(blob_job.c.did).where(IS_OPEN_JOB))
    return UploadsBody(
        waiting=max(0, unfinished - running),
        running=running,
        failures=_failures(connection),
    )


def _failures(connection: Connection) -> list[UploadFailureRow]:
    failing = (
        select(blob_job.c.cause, blob_job.c.failing_since, case((_IS_REFUSED, 1), else_=0).label("refused"))
        .join_from(blob_job, tracks, tracks.c.track_id == blob_job.c.subject_id)
        .where(IS_FAILING, or_(IS_OPEN_JOB, _IS_REFUSED))
        .limit(MAX_COUNTED)
        .subquery()
    )
    refused = func.sum(failing.c.refused)
    by_cause = (
        select(
            failing.c.cause,
            refused.label("refused"),
            (func.count() - refused).label("retried"),
            func.min(failing.c.failing_since).label("failing_since"),
        )
        .group_by(failing.c.cause)
        .order_by(func.count().desc(), failing.c.cause)
        .limit(MOST_CAUSES)
        .subquery()
    )
    cause = failure_cause.c
    rows = connection.execute(
        select(by_cause, cause.host, cause.status, cause.error)
        .outerjoin_from(by_cause, failure_cause, cause.id == by_cause.c.cause)
        .order_by((by_cause.c.refused + by_cause.c.retried).desc(), by_cause.c.cause)
    )
    return [UploadFailureRow(**row) for row in rows.mappings()]
