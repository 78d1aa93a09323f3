"""Claims due uploads: one per account and MAX_UPLOADS_PER_HOST per host, over all processes.

Uploads in flight are counted in a statement after the hosts are locked (see outbox/relay/claim.py). Accounts take turns,
so that none waits for another's whole library.
"""

import random
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, case, func, or_, select, update

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.blobs.jobs import JOB_LEASE, BlobJob, lane_works
from outbox.mirror.due import host_open_at, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import IS_LEASED, blob_job, mirror_lane, pds_host

MAX_UPLOADS_PER_HOST: Final = 2
"""A host that hangs on uploads cannot take all workers."""

MAX_CLAIM_ATTEMPTS: Final = 4

job = blob_job.c
lane = mirror_lane.c


def claim_jobs(
    database: Database,
    *,
    owner: str,
    limit: int,
    per_host: int = MAX_UPLOADS_PER_HOST,
    lease: timedelta = JOB_LEASE,
) -> list[BlobJob]:
    """Lease due jobs, so that all processes together upload one per account and `per_host` per host."""
    room = {"per_host": per_host, "limit": limit}
    with database.read_committed() as connection:  # an idle worker writes nothing
        due = _next_accounts(connection, database.now(connection), room)
    hosts = {each.host for each in due}
    for _ in range(MAX_CLAIM_ATTEMPTS if hosts else 0):
        jobs, none_locked = _claim(database, hosts, room, owner, lease)
        if jobs or none_locked:
            return jobs
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - other claims hold the hosts for milliseconds
    return []


def _claim(
    database: Database, hosts: Collection[str], room: Mapping[str, int], owner: str, lease: timedelta
) -> tuple[list[BlobJob], bool]:
    """Claim from these hosts; returns the jobs, and whether no host was skipped as locked."""
    jobs: list[BlobJob] = []
    with database.write() as connection:
        locked = set(connection.scalars(_HOSTS, {"hosts": list(hosts)}))
        now = database.now(connection)
        for each in _next_accounts(connection, now, room):
            if each.host in locked:
                jobs += _claim_of_account(connection, each, owner, now, lease)
    return jobs, len(locked) == len(hosts)


def _next_accounts(connection: Connection, now: datetime, room: Mapping[str, int]) -> Sequence[Any]:
    return connection.execute(_next_of_hosts(), {"now": now, **room}).all()


_HOSTS: Final = (
    select(pds_host.c.host)
    .where(pds_host.c.host.in_(bindparam("hosts", expanding=True)))
    .with_for_update(skip_locked=True)
)


@cache  # building it costs more than executing it (CONTRIBUTING.md)
def _next_of_hosts() -> Select[Any]:
    """Select the next accounts: live work first, then those whose last upload was longest ago."""
    now = bindparam("now", type_=UtcDateTime)
    under_way = select(job.did).where(IS_LEASED, job.lease_until > now)
    busy = (
        select(lane.host, func.count().label("uploads"))
        .join(blob_job, job.did == lane.did)
        .where(IS_LEASED, job.lease_until > now)
        .group_by(lane.host)
        .subquery()
    )
    due = (
        select(
            lane.did,
            lane.host,
            lane.last_upload_at,
            pds_host.c.breaker,
            func.min(case((job.backfill, 1), else_=0)).label("waits"),
        )
        .join(mirror_lane, lane.did == job.did)
        .join(pds_host, pds_host.c.host == lane.host)
        .where(
            _is_due(now),
            and_(lane.state == LaneState.READY, ~lane.paused, ~is_observed()),
            ~pds_host.c.paused,
            latest_of(host_open_at(), pds_host.c.blobs_after) <= now,
            lane.did.not_in(under_way),
        )
        .group_by(lane.did, lane.host, lane.last_upload_at, pds_host.c.breaker)
        .subquery()
    )
    turn = (due.c.waits, due.c.last_upload_at, due.c.did)
    at_once = case((due.c.breaker == BreakerState.OPEN, 1), else_=bindparam("per_host"))
    placed = (
        select(
            *due.c,
            (at_once - func.coalesce(busy.c.uploads, 0)).label("room"),
            func.row_number().over(partition_by=due.c.host, order_by=turn).label("place"),
        )
        .outerjoin(busy, busy.c.host == due.c.host)
        .subquery()
    )
    next_ones = select(placed.c.did, placed.c.host).where(placed.c.place <= placed.c.room)
    order = (placed.c.waits, placed.c.last_upload_at, placed.c.did)
    return next_ones.order_by(*order).limit(bindparam("limit"))


def _is_due(now: Any) -> Any:
    return and_(or_(job.requested, job.again), job.not_before <= now, job.lease_until <= now)


def _claim_of_account(
    connection: Connection, account: Any, owner: str, now: datetime, lease: timedelta
) -> list[BlobJob]:
    """Claim the account's next job, unless its lane is locked or no longer ready."""
    this = and_(lane.did == account.did, lane_works(account.did, account.host))
    if connection.execute(select(lane.did).where(this).with_for_update(skip_locked=True)).first() is None:
        return []
    found = connection.execute(
        select(blob_job, job.subject_id.label("subject_id"))
        .where(job.did == account.did, _is_due(now))
        .order_by(job.backfill, job.not_before, job.subject_id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if found is None:
        return []
    epoch = found.lease_epoch + 1
    connection.execute(
        update(blob_job)
        .where(job.did == found.did, job.subject_id == found.subject_id)
        .values(lease_owner=owner, lease_until=now + lease, lease_epoch=epoch)
    )
    connection.execute(update(mirror_lane).where(lane.did == found.did).values(last_upload_at=now))
    return [BlobJob(found.did, account.host, found.subject_id, found.audio_cid, found.attempts, owner, epoch)]
