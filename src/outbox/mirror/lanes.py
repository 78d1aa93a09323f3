"""Lanes and their leases: one lane run per DID at a time, however many relays there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from eventstore.change import Envelope, Via
from eventstore.coordination.backoff import backoff
from eventstore.errors import LeaseLostError
from eventstore.jobs.table import IS_LEASED, job
from eventstore.sql.cluster import is_distributed, shards_of
from eventstore.sql.database import Database, now_column
from eventstore.sql.prepared import Prepared, pipelined, start_begin
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.append import insert_of, key_of, upsert
from eventstore.streams.buckets import EVERY, Part, bucket_param, for_account, in_part
from outbox.mirror.due import latest_of, target_due_at
from outbox.mirror.states import BreakerState, LaneState, MirrorReason
from outbox.mirror.tables import (
    CONCERNS_RELAY,
    NEVER,
    NEVER_LITERAL,
    NO_FAILURES,
    PAST,
    PAST_LITERAL,
    UPLOAD,
    blob_job,
    mirror_lane,
    mirror_target,
    pds_host,
    target,
    upload,
)

PROBE_CLEARED: Final[dict[str, Any]] = {"probe_at": NEVER, "probes": 0, "missing_since": NEVER}
"""The columns of a lane whose account is known to be at its host."""


class LockedLane(NamedTuple):
    """What is read with a lane's lock."""

    has_no_failures: bool
    """Whether a success of the lane changes neither its row nor its host's."""
    now: datetime
    """The database's time, once the lane was locked."""


RUN_FAILED: Final = "lane_run_failed: the service's log says why"


@dataclass(frozen=True)
class Lane:
    did: str
    host: str
    owner: str
    epoch: int
    lease_until: datetime
    backfill: bool = False
    """Whether it was claimed for work that can wait."""
    host_failed_last: bool = False
    """Whether its host failed the last time."""
    is_doubted: bool = False
    """True where its host has acknowledged writes that were not there: each is read back at once."""

    @property
    def envelope(self) -> Envelope:
        return Envelope(actor="relay", via=Via.RELAY, request_id=f"{self.owner}:{self.epoch}")

    @property
    def log_fields(self) -> dict[str, object]:
        """The log fields of this lane run; its `request_id` is that of the events that it appends."""
        facts = {"did": self.did, "host": self.host, "epoch": self.epoch}
        return {**facts, "request_id": self.envelope.request_id}


def lock_lane(database: Database, connection: sa.Connection, lane: Lane) -> LockedLane:
    """Lock the lane's row to the end of the transaction; raises LeaseLostError if it was claimed or moved since."""
    with pipelined(connection):
        start_begin(connection)
        locked = _LOCK.start(connection, {"did": lane.did})
    rows = locked.all()
    if not rows or (rows[0].lease_epoch, rows[0].host) != (lane.epoch, lane.host):
        raise LeaseLostError
    return LockedLane(bool(rows[0].has_no_failures), database.now(connection, read=rows[0].now))


def hold_lane(connection: sa.Connection, did: str) -> None:
    """Keep deliveries of the account from being settled until the transaction ends."""
    connection.execute(sa.select(mirror_lane.c.did).where(mirror_lane.c.did == did).with_for_update())


class Success(NamedTuple):
    """The last success of a lane run: its time, and the revision of the newest commit that the PDS acknowledged."""

    at: datetime | None = None
    rev: str | None = None


NO_SUCCESS: Final = Success()


def release(database: Database, lane: Lane, success: Success = NO_SUCCESS) -> None:
    with database.write() as connection:
        write_release(connection, lane, lock_lane(database, connection, lane).now, success)


def write_release(
    connection: sa.Connection, lane: Lane, now: datetime, success: Success = NO_SUCCESS
) -> None:
    """Release a locked lane, due when the earliest of its targets is, though not before lanes that are due already."""
    named = {"did": lane.did, "now": now, "succeeded_at": success.at, "succeeded_rev": success.rev}
    _RELEASE.start(connection, named)


def release_after_error(database: Database, lane: Lane) -> None:
    with database.write() as connection:
        now = lock_lane(database, connection, lane).now
        back_off(connection, lane.did, now, error=RUN_FAILED)
        change_lane(connection, lane.did, lease_owner=None, lease_until=PAST, due_at=now)


def back_off(
    connection: sa.Connection, did: str, now: datetime, *, error: str, at_least: timedelta = timedelta()
) -> None:
    failures = connection.scalar(sa.select(mirror_lane.c.failures).where(mirror_lane.c.did == did)) or 0
    not_before = now + max(backoff(failures), at_least)
    change_lane(connection, did, failures=failures + 1, not_before=not_before)
    record_failing(connection, did, now, error)


def record_failing(connection: sa.Connection, did: str, now: datetime, error: str) -> None:
    """Record since when the lane fails, and why at first, unless it does already."""
    works = sa.and_(mirror_lane.c.did == did, mirror_lane.c.failing_since.is_(None))
    connection.execute(sa.update(mirror_lane).where(works).values(failing_since=now, first_error=error))


def change_lane(connection: sa.Connection, did: str, **columns: Any) -> None:
    connection.execute(_CHANGE, {**for_account(did, "of_did"), **columns})


def note_limits(connection: sa.Connection, did: str, limits: Mapping[str, Any]) -> None:
    """Write what a PDS says of an account's limits. No pause that it has asked for ends sooner because of a shorter one."""
    later = {
        name: latest_of(mirror_lane.c[name], sa.literal(limits[name], mirror_lane.c[name].type))
        for name in _PAUSES
        if name in limits
    }
    if limits:
        connection.execute(_CHANGE.values({**limits, **later}), for_account(did, "of_did"))


# Built once (CONTRIBUTING.md).

_HAS_NO_FAILURES: Final = sa.and_(
    mirror_lane.c.failures == sa.literal_column("0"),
    *(mirror_lane.c[name] == value for name, value in (PROBE_CLEARED | NO_FAILURES).items()),
    sa.exists().where(
        pds_host.c.host == mirror_lane.c.host,
        pds_host.c.failures == sa.literal_column("0"),
        pds_host.c.breaker == sa.literal_column(f"'{BreakerState.CLOSED}'"),
        pds_host.c.ramp.is_(None),
    ),
)
_HELD_LANE: Final = (
    sa.select(mirror_lane.c.lease_epoch, mirror_lane.c.host, _HAS_NO_FAILURES.label("has_no_failures"))
    .where(mirror_lane.c.did == sa.bindparam("did"))
    .with_for_update(of=mirror_lane)
    .cte("held")
)
_LOCK: Final = Prepared(lambda dialect: sa.select(_HELD_LANE, now_column(dialect)))
"""The lock is acquired before the time is read. Apart, that would cost a delivery another statement (docs/scaling.md)."""


def _earliest_from_now(which: sa.ColumnElement[bool]) -> sa.ColumnElement[datetime]:
    these = (target.did == sa.bindparam("did"), CONCERNS_RELAY, which)
    earliest = sa.select(target_due_at()).where(*these).order_by(target_due_at()).limit(1).scalar_subquery()
    return latest_of(sa.func.coalesce(earliest, NEVER_LITERAL), sa.bindparam("now", type_=UtcDateTime))


_RELEASE: Final = Prepared(
    lambda _: (
        sa.update(mirror_lane)
        .where(mirror_lane.c.did == sa.bindparam("did"))
        .values(
            due_at=_earliest_from_now(~target.backfill),
            backfill_at=_earliest_from_now(target.backfill),
            lease_owner=sa.null(),
            lease_until=PAST_LITERAL,
            last_success_at=sa.func.coalesce(
                sa.bindparam("succeeded_at", type_=UtcDateTime), mirror_lane.c.last_success_at
            ),
            acked_rev=sa.func.coalesce(sa.bindparam("succeeded_rev", type_=sa.Text), mirror_lane.c.acked_rev),
        )
    ),
    (),
)
_CHANGE: Final = sa.update(mirror_lane).where(mirror_lane.c.did == sa.bindparam("of_did"))


def park_lane(connection: sa.Connection, did: str) -> None:
    """Make the lane wait for a sign-in, unless the account is gone; edits are still appended to the log."""
    here = (mirror_lane.c.did == did, mirror_lane.c.state != LaneState.GONE)
    parked = sa.update(mirror_lane).values(state=LaneState.AUTH_REQUIRED, probe_at=NEVER)
    connection.execute(parked.where(*here))


_PAUSES: Final = ("paced_until", "backfill_after")
_LIMITS: Final = tuple(f"{name}_{part}" for name in ("hour", "day") for part in ("limit", "left", "reset"))
"""The limits that a PDS has named: they mean nothing at another PDS."""
NO_LIMITS: Final[dict[str, Any]] = {**dict.fromkeys(_PAUSES, PAST), **dict.fromkeys(_LIMITS)}
"""The columns of a lane at a PDS that has named no limits yet."""
NOTHING_SENT: Final[dict[str, Any]] = {"last_success_at": None, "acked_rev": None}
"""The columns of a lane at a PDS that has acknowledged nothing yet."""


def resume_lane(connection: sa.Connection, did: str, host: str, at: datetime) -> None:
    """Make the lane ready on this host and due, in the transaction of a sign-in.

    A lane run there goes on without an owner: if the PDS refuses its login, that was the old one. A lane run or upload
    at another host loses its lease, and its result is dropped.
    """
    given = {**for_account(did, "of_did"), "of_host": host, "at": at}
    has_moved = connection.scalar(_HOST_OF, given) not in {None, host}
    enter_host(connection, host)
    for statement in _resuming(connection.dialect.name):
        connection.execute(statement, given)
    if has_moved:
        abandon_uploads(connection, did)


def shards(connection: sa.Connection) -> Sequence[Part]:
    """Return the parts of the lanes in which a statement may lock several: on one database all."""
    name = mirror_lane.name
    return shards_of(connection, name) if is_distributed(connection, name) else [EVERY]


def lock_lanes(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> list[str]:
    """Lock lanes in the order of their DIDs, those of one shard after those of another; return the DIDs."""
    found = list[str]()
    for part in shards(connection):
        these = sa.select(mirror_lane.c.did).where(*which, in_part(mirror_lane.c.bucket, part))
        found += connection.scalars(these.order_by(mirror_lane.c.did).with_for_update())
    return found


def enter_host(connection: sa.Connection, host: str) -> None:
    """Make the row of a host, if it is new. Takes no lock on one that is there: a sign-in that hangs stops no claim."""
    connection.execute(upsert(connection, pds_host).values(host=host).on_conflict_do_nothing())


def host_key(host: sa.ColumnElement[str]) -> sa.ColumnElement[int]:
    """Return the key of a host's advisory lock, for claims, reports and operators; a unit does not know the host of its lane."""
    return sa.func.hashtextextended(host, sa.literal_column("0"), type_=sa.BigInteger)


def lock_host(connection: sa.Connection, host: str) -> None:
    """Let no claim and no report change the host until the transaction ends; read its row after it. SQLite's BEGIN IMMEDIATE is it."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(host_key(sa.literal(host)))))


def abandon_uploads(connection: sa.Connection, did: str) -> None:
    """End the lease of the account's upload, which goes to a host that it has left."""
    connection.execute(_ABANDON, for_account(did, "of_did"))


_HOST_OF: Final = (
    sa.select(mirror_lane.c.host).where(mirror_lane.c.did == sa.bindparam("of_did")).with_for_update()
)
_UPLOADING: Final = (job.c.kind == UPLOAD, job.c.account == sa.bindparam("of_did"), IS_LEASED)
_ABANDON: Final = sa.delete(job).where(*_UPLOADING)


@cache
def _resuming(dialect: str) -> list[sa.Executable]:
    did, host = sa.bindparam("of_did", type_=sa.Text), sa.bindparam("of_host", type_=sa.Text)
    signed_in = {
        "host": host,
        "state": LaneState.READY,
        "due_at": sa.bindparam("at"),
        "debounced_until": PAST,
        "not_before": PAST,
        "failures": 0,
        **PROBE_CLEARED,
    }
    insert = insert_of(dialect, mirror_lane).values(did=did, bucket=bucket_param("of_did"), **signed_in)
    same_host = mirror_lane.c.host == host
    lane = insert.on_conflict_do_update(
        index_elements=key_of(dialect, mirror_lane),
        set_={
            **{name: insert.excluded[name] for name in signed_in},
            **NO_FAILURES,
            **{name: sa.case((same_host, mirror_lane.c[name])) for name in (*_LIMITS, *NOTHING_SENT)},
            **{
                name: sa.case((same_host, mirror_lane.c[name]), else_=PAST)
                for name in (*_PAUSES, "lease_until")
            },
            "lease_owner": None,
        },
    )
    return [
        lane,
        sa.update(mirror_target)
        .where(target.did == did, CONCERNS_RELAY, target.not_before > PAST)
        .values(not_before=PAST),
        sa.update(mirror_target)  # what the login before did not allow
        .where(target.did == did, target.reason == MirrorReason.NEEDS_CONSENT)
        .values(failed_gen=0),
        # what the upload says of the login before is void
        sa.update(job).where(*_UPLOADING).values(due=PAST),
        sa.update(blob_job).where(upload.did == did).values(not_before=PAST, queue_at=PAST),
    ]
