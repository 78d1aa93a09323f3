"""The rows of the uploads: claim, settle, give back. Locks in the order of all: lane, target, job."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from aggregates.track import Track
from aggregates.values import BlobRef
from eventstore.database import Database
from eventstore.unit import Unit
from outbox.backoff import backoff
from outbox.hosts import OPEN
from outbox.lanes import LeaseLostError, host_open_at, is_open, later
from outbox.observe_only import is_observed
from outbox.parking import PARKING, doubt, park
from outbox.tables import PAST, blob_job, mirror_lane, mirror_target, pds_host
from outbox.targets import READY, wake_lane
from outbox.verdict import Kind, Verdict
from outbox.wishes import backfill

LEASE: Final = timedelta(seconds=60)
"""Extended for as long as the upload goes on, so that after a crash nobody waits for a long one to be over."""

BROKEN_SECONDS: Final = 3600.0
"""The longest pause after a PDS broke down over an upload, which is dear (docs/adr/0015-uploads-that-break-a-pds.md)."""

job = blob_job.c
lane = mirror_lane.c
target = mirror_target.c


@dataclass(frozen=True)
class BlobJob:
    """A claimed upload."""

    did: str
    host: str
    track_id: int
    audio_cid: str
    attempts: int
    owner: str
    epoch: int


def claim_jobs(
    database: Database,
    *,
    owner: str,
    limit: int,
    of_a_host: int,
    busy: Mapping[str, int],
    lease: timedelta = LEASE,
) -> list[BlobJob]:
    """Take due jobs, so that no host has more than `of_a_host` of this process; `busy` counts what it has."""
    with database.read() as connection:  # an idle worker writes nothing
        rows = _due_jobs(connection, database.now(connection), of_a_host, busy)
    if not rows:
        return []
    jobs: list[BlobJob] = []
    taken = Counter(busy)
    with database.write() as connection:
        for row in rows:
            if len(jobs) < limit and taken[row.host] < of_a_host:
                claimed = _claim(connection, row, owner, database.now(connection), lease)
                jobs += claimed
                taken[row.host] += len(claimed)
    return jobs


def _due_jobs(
    connection: Connection, now: datetime, of_a_host: int, busy: Mapping[str, int]
) -> Sequence[Any]:
    full = [host for host, running in busy.items() if running >= of_a_host]
    return connection.execute(_due_of_hosts(), {"now": now, "full": full, "of_a_host": of_a_host}).all()


@cache
def _due_of_hosts() -> Select[Any]:
    place = func.row_number().over(
        partition_by=lane.host, order_by=(job.backfill, job.not_before, job.track_id)
    )
    full: BindParameter[str] = bindparam("full", expanding=True)
    due = (
        select(
            job.did,
            job.track_id,
            job.backfill,
            job.not_before,
            lane.host,
            pds_host.c.breaker,
            place.label("place"),
        )
        .join(mirror_lane, lane.did == job.did)
        .join(pds_host, pds_host.c.host == lane.host)
        .where(
            _is_due(bindparam("now")),
            and_(lane.state == READY, ~lane.paused, ~is_observed()),
            ~pds_host.c.paused,
            later(host_open_at(), pds_host.c.blobs_after) <= bindparam("now"),
            lane.host.not_in(full),
        )
        .subquery()
    )
    at_once = case((due.c.breaker == OPEN, 1), else_=bindparam("of_a_host"))
    first = select(due).where(due.c.place <= at_once)
    return first.order_by(due.c.backfill, due.c.not_before, due.c.track_id)


def _is_due(now: Any) -> Any:
    return and_(or_(job.requested, job.again), job.not_before <= now, job.lease_until <= now)


def _claim(connection: Connection, row: Any, owner: str, now: datetime, lease: timedelta) -> list[BlobJob]:
    this = (job.did == row.did, job.track_id == row.track_id)
    found = connection.execute(
        select(blob_job)
        .where(*this, _is_due(now), _lane_works(row.did, row.host))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if found is None:
        return []
    epoch = found.lease_epoch + 1
    connection.execute(
        update(blob_job).where(*this).values(lease_owner=owner, lease_until=now + lease, lease_epoch=epoch)
    )
    return [BlobJob(row.did, row.host, row.track_id, found.audio_cid, found.attempts, owner, epoch)]


def still_works(connection: Connection, claimed: BlobJob) -> bool:
    """Whether the job's lane works as it did: a deactivated account takes uploads, but no record that names them."""
    return connection.scalar(select(_lane_works(claimed.did, claimed.host))) or False


def _lane_works(did: str, host: str) -> ColumnElement[bool]:
    return exists().where(
        lane.did == did, lane.host == host, lane.state == READY, ~lane.paused, ~is_observed()
    )


def extend(database: Database, claimed: BlobJob, lease: timedelta) -> bool:
    """Keep the job for the length of a lease from now; False when it is not ours any more."""
    with database.write() as connection:
        changed = connection.execute(
            update(blob_job)
            .where(
                job.did == claimed.did,
                job.track_id == claimed.track_id,
                job.lease_epoch == claimed.epoch,
                job.lease_owner == claimed.owner,
            )
            .values(lease_until=database.now(connection) + lease)
        )
        return changed.rowcount == 1


def give_back(database: Database, claimed: BlobJob) -> None:
    """Let others have the job at once: its upload was not finished."""
    with database.write() as connection:
        connection.execute(
            update(blob_job)
            .where(job.did == claimed.did, job.track_id == claimed.track_id, job.lease_epoch == claimed.epoch)
            .values(lease_owner=None, lease_until=PAST)
        )


def settle_job(unit: Unit, claimed: BlobJob, verdict: Verdict | None) -> None:
    """One unit: the lease is ours, the track is as it was, the event is appended, the job ends or waits.

    Without a verdict nothing was sent, because the track did not want it or its lane does not work.
    """
    unit.connection.execute(select(lane.did).where(lane.did == claimed.did).with_for_update())
    row = unit.connection.execute(
        select(job.lease_epoch, job.lease_owner, job.audio_cid, job.again, job.backfill)
        .where(job.did == claimed.did, job.track_id == claimed.track_id)
        .with_for_update()
    ).one_or_none()
    if row is None or row.lease_epoch != claimed.epoch:
        raise LeaseLostError
    track = unit.load(Track, Track.create_id(claimed.track_id))
    if not track.blob_accepts(claimed.audio_cid):
        # Of what the PDS said of other audio nothing concerns the audio that the track has now.
        _end(unit, claimed, again=row.again and row.audio_cid != claimed.audio_cid, attempts=0)
    elif verdict is None:
        _end(unit, claimed)  # it is wanted again since
    elif verdict.kind in PARKING:
        if row.lease_owner == claimed.owner:  # else its owner has signed in meanwhile
            park(unit.connection, claimed.did, verdict.kind, unit.now)
        _end(unit, claimed)
    else:
        _settle(unit, claimed, track, verdict, waits=row.backfill)


def _settle(unit: Unit, claimed: BlobJob, track: Track, verdict: Verdict, *, waits: bool) -> None:
    error = f"{verdict.error}: {verdict.message}"
    if verdict.kind is Kind.DONE:
        waits = waits and not _has_live_work(unit, claimed)
        _set_target(unit, claimed, state="idle", reason=None, not_before=PAST)
        wake_lane(unit.connection, claimed.did, unit.now)
        track.record_blob(BlobRef(claimed.audio_cid, verdict.body["blob"]), at=unit.now)
        _end(unit, claimed, again=False, attempts=0, last_error=None)
    elif verdict.kind is Kind.REJECTED:
        _set_target(unit, claimed, state="rejected", reason=verdict.error)
        track.record_blob_failure(verdict.error or "rejected", final=True, at=unit.now)
        _end(unit, claimed, again=False, last_error=error)
    elif verdict.kind is Kind.PACED:  # no attempt: the PDS has not looked at it
        _end(unit, claimed, not_before=unit.now + verdict.asked(unit.now), last_error=error)
    else:
        doubt(unit.connection, claimed.did, unit.now)
        pause = (
            backoff(claimed.attempts, cap=BROKEN_SECONDS)
            if verdict.is_fault_of_record
            else backoff(claimed.attempts)
        )
        not_before = unit.now + max(pause, verdict.asked(unit.now))
        _end(unit, claimed, attempts=claimed.attempts + 1, not_before=not_before, last_error=error)
    unit.save(track)
    if waits and verdict.kind is Kind.DONE:
        backfill(unit.connection, claimed.did, [claimed.track_id], unit.now)


def _has_live_work(unit: Unit, claimed: BlobJob) -> bool:
    """Whether the record has something to be sent already that is not to wait."""
    live = (target.track_id == claimed.track_id, is_open(), ~target.backfill)
    return bool(unit.connection.scalar(select(exists().where(*live))))


def let_wait(connection: Connection, did: str, track_ids: Sequence[int]) -> None:
    """Let these uploads, and the records that they are for, go behind what others do just now: they are of bulk work."""
    these = (job.did == did, job.track_id.in_(track_ids))
    connection.execute(update(blob_job).where(*these).values(backfill=True))


def hurry(connection: Connection, did: str, track_id: int) -> None:
    """Let this upload wait for none of the others: somebody asked for it alone."""
    this = (job.did == did, job.track_id == track_id, job.backfill)
    connection.execute(update(blob_job).where(*this).values(backfill=False))


def _end(unit: Unit, claimed: BlobJob, **columns: Any) -> None:
    unit.connection.execute(
        update(blob_job)
        .where(job.did == claimed.did, job.track_id == claimed.track_id)
        .values(lease_owner=None, lease_until=PAST, **columns)
    )


def _set_target(unit: Unit, claimed: BlobJob, **columns: Any) -> None:
    """Change the record that waits for its blob, if it does."""
    unit.connection.execute(
        update(mirror_target)
        .where(target.track_id == claimed.track_id, target.state == "blob")
        .values(columns)
    )
