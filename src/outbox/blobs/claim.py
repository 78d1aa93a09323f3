"""Which uploads are next: accounts take turns, so that none waits for another's whole library; live work goes first.

An account has a job while some upload of its is due. Its lease keeps all but one process from uploading for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.jobs.table import job, job_turn
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import Part, for_account, in_part, in_reach
from outbox.mirror.due import host_open_at, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import UPLOAD, blob_job, lane, mirror_lane, pds_host, upload

MAX_UPLOADS_PER_HOST: Final = 2
"""Over all processes: a host that hangs on uploads cannot take all workers."""
MAX_CONCURRENT_UPLOADS: Final = 32
"""Many, since each holds only one chunk: hosts that hang on uploads leave room for others."""
MAX_REQUESTED: Final = 1000
MAX_LOST_PAUSE_SECONDS: Final = 3600.0
"""Before the next attempt of an account whose uploads end their processes, or cannot be settled: each sends all bytes again."""

_NOW: Final = sa.bindparam("now", type_=UtcDateTime)


@dataclass(frozen=True)
class Upload:
    """An upload that this process is to make, under the lease of its account's job."""

    did: str
    host: str
    subject: Subject
    audio_cid: str
    attempts: int
    job: Job


def upload_kind(work: Callable[[Job], Awaitable[Outcome]]) -> Kind:
    return Kind(
        UPLOAD,
        work,
        max_concurrent=MAX_CONCURRENT_UPLOADS,
        first_pause_seconds=1.0,
        max_pause_seconds=MAX_LOST_PAUSE_SECONDS,
        condition=_has_room,
        rank=_rank,
        drains=True,
        find=_accounts,
        new_first=True,
    )


def next_upload(database: Database, claimed: Job) -> Upload | None:
    """Return the account's next upload; None if none is due, or may be made now."""
    with database.read_committed() as connection:
        given = {**for_account(claimed.subject), "now": database.now(connection)}
        row = connection.execute(_NEXT, given).one_or_none()
    if row is None:
        return None
    host, kind, subject_id, audio_cid, attempts = row
    return Upload(claimed.subject, host, Subject(kind, subject_id), audio_cid, attempts, claimed)


def _has_room(of: sa.FromClause, part: Part) -> sa.ColumnElement[bool]:
    """Whether this job's account may upload now, and its host has room for one more.

    A deactivated account accepts uploads, but no record that names them.
    """
    other, running = mirror_lane.alias(), job.alias("uploading")
    under_way = (
        sa.select(sa.func.count())
        .select_from(running.join(other, other.c.did == running.c.account))
        .where(running.c.kind == UPLOAD, running.c.lease_owner.is_not(None), running.c.lease_until > _NOW)
        .where(other.c.host == pds_host.c.host, in_reach(running.c.bucket, part))
        .correlate(pds_host)
        .scalar_subquery()
    )
    at_once = sa.case((pds_host.c.breaker == BreakerState.OPEN, 1), else_=MAX_UPLOADS_PER_HOST)
    return sa.exists().where(
        lane.did == of.c.account, pds_host.c.host == lane.host, _TAKES_UPLOADS, under_way < at_once
    )


def _rank(account: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Order accounts that have live work before the libraries of all."""
    return sa.case((sa.exists().where(upload.did == account, _IS_DUE, ~upload.backfill), 0), else_=1)


_TAKES_UPLOADS: Final = sa.and_(
    lane.state == LaneState.READY,
    ~lane.paused,
    ~is_observed(),
    ~pds_host.c.paused,
    latest_of(host_open_at(), pds_host.c.blobs_after) <= _NOW,
)
_IS_DUE: Final = sa.and_(sa.or_(upload.requested, upload.again), upload.not_before <= _NOW)
_DUE: Final = blob_job.join(mirror_lane, lane.did == upload.did).join(pds_host, pds_host.c.host == lane.host)
_HAS_TURN: Final = sa.exists().where(
    *(job.c.kind == UPLOAD, job.c.account == upload.did),
    *(job_turn.c.kind == UPLOAD, job_turn.c.account == upload.did),
)
"""A job whose turn was pruned while it was requested is requested again, which gives it one."""


def _accounts(part: Part) -> Any:
    return (
        sa.select(upload.did.label("subject"), upload.did.label("account"), sa.literal("").label("host"))
        .where(
            in_part(upload.bucket, part),
            _IS_DUE,
            ~_HAS_TURN,
            sa.exists().where(lane.did == upload.did, pds_host.c.host == lane.host, _TAKES_UPLOADS),
        )
        .group_by(upload.did)
        .order_by(sa.func.min(sa.case((upload.backfill, 1), else_=0)), upload.did)
        .limit(MAX_REQUESTED)
    )


_NEXT: Final = (
    sa.select(lane.host, upload.kind, upload.subject_id, upload.audio_cid, upload.attempts)
    .select_from(_DUE)
    .where(upload.did == sa.bindparam("did"), _IS_DUE, _TAKES_UPLOADS)
    .order_by(upload.backfill, upload.not_before, upload.subject_id)
    .limit(1)
)
