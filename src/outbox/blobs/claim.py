"""Which uploads are next: accounts take turns, so that none waits for another's whole library; live work goes first.

An account has a job while some upload of its is due. Its lease keeps all but one process from uploading for it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.jobs.queue import queue_again
from eventstore.jobs.table import job
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import Part, for_account, in_part, in_reach
from outbox.mirror.due import host_open_at, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import IS_OPEN_JOB, UPLOAD, blob_job, lane, mirror_lane, pds_host, upload

MAX_UPLOADS_PER_HOST: Final = 2
"""Over all processes: a host that hangs on uploads cannot take all workers."""
MAX_CONCURRENT_UPLOADS: Final = 32
"""Many, since each holds only one chunk: hosts that hang on uploads leave room for others."""
MAX_UPLOADS_PER_LOOK: Final = 500
"""Of each class: those that many accounts have asked for at once are found by many looks, none of which takes long."""
QUEUE_AGAIN_AFTER: Final = timedelta(hours=1)
"""For accounts whose job was lost, e.g. to a process of an earlier release that ended it with uploads left."""
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
        on_found=_queued,
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


def has_more_uploads(database: Database, did: str) -> bool:
    """Whether the account's job is to stay: its uploads wait for no more than their turn, or their host."""
    with database.read_committed() as connection:
        more = sa.exists().where(upload.did == did, _IS_DUE, lane.did == upload.did, _IS_READY)
        return bool(connection.scalar(sa.select(more), {"now": database.now(connection)}))


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


_IS_READY: Final = sa.and_(lane.state == LaneState.READY, ~lane.paused)
_TAKES_UPLOADS: Final = sa.and_(
    _IS_READY,
    ~is_observed(),
    ~pds_host.c.paused,
    latest_of(host_open_at(), pds_host.c.blobs_after) <= _NOW,
)
_IS_DUE: Final = sa.and_(IS_OPEN_JOB, upload.not_before <= _NOW)
_DUE: Final = blob_job.join(mirror_lane, lane.did == upload.did).join(pds_host, pds_host.c.host == lane.host)
_IS_TO_QUEUE: Final = sa.and_(
    IS_OPEN_JOB,
    upload.queue_at <= _NOW,
    ~sa.exists().where(
        *(job.c.kind == UPLOAD, job.c.account == upload.did, job.c.subject == upload.did),
        job.c.lease_until > _NOW,
    ),
)
"""Not while the account's job runs: it may end without an upload that it did not see, which a claim after this look sees."""


def _accounts(part: Part) -> Any:
    def first(*, backfill: bool) -> Any:
        of_class = upload.backfill if backfill else ~upload.backfill
        rows = sa.select(upload.did).where(in_part(upload.bucket, part), of_class, _IS_TO_QUEUE)
        return sa.select(rows.order_by(upload.queue_at).limit(MAX_UPLOADS_PER_LOOK).subquery())

    did = sa.union_all(first(backfill=False), first(backfill=True)).subquery().c.did
    return sa.select(did.label("subject"), did.label("account"), sa.literal("").label("host")).distinct()


def _queued(connection: sa.Connection, found: list[Wanted], now: datetime) -> list[Wanted]:
    """Return those whose lane may take uploads. No other look finds their uploads for QUEUE_AGAIN_AFTER, unless something changes.

    A lane that is not ready has them queued when it is.
    """
    given = [
        {**for_account(each.account, "of_did"), "now": now, "until": now + QUEUE_AGAIN_AFTER}
        for each in found
    ]
    connection.execute(_QUEUE, given)
    queue_again(connection, UPLOAD, [each.account for each in found])
    return [
        wanted
        for wanted, of_account in zip(found, given, strict=True)
        if connection.scalar(_READY_LANE, of_account) is not None
    ]


_UNLOCKED: Final = (
    sa.select(upload.kind, upload.subject_id)
    .where(upload.did == sa.bindparam("of_did"), _IS_TO_QUEUE)
    .with_for_update(skip_locked=True)
)
_QUEUE: Final = (
    sa.update(blob_job)
    .where(upload.did == sa.bindparam("of_did"), sa.tuple_(upload.kind, upload.subject_id).in_(_UNLOCKED))
    .values(queue_at=latest_of(upload.not_before, sa.bindparam("until", type_=UtcDateTime)))
)
"""A look waits for no unit that has locked an upload: the next one finds it."""
_READY_LANE: Final = sa.select(lane.did).where(lane.did == sa.bindparam("of_did"), _IS_READY)
_NEXT: Final = (
    sa.select(lane.host, upload.kind, upload.subject_id, upload.audio_cid, upload.attempts)
    .select_from(_DUE)
    .where(upload.did == sa.bindparam("did"), _IS_DUE, _TAKES_UPLOADS)
    .order_by(upload.backfill, upload.not_before, upload.subject_id)
    .limit(1)
)
