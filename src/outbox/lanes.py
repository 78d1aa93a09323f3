"""Lanes and their leases: one flight per DID, whatever number of relays there are.

A lane is due when the latest of three times has come: `due_at` is work, `not_before` is backoff, and before
`paced_until`, which the PDS has named, nobody's wish lets anything be sent. Times are the database's. Whoever
changes a lane after a claim proves its epoch.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, or_, select, update

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.backoff import backoff
from outbox.tables import NEVER, PAST, blob_job, mirror_lane, mirror_target, pds_host
from outbox.targets import AUTH_REQUIRED, DELETE, HELD, READY, insert_into

lane_columns: Final = mirror_lane.c
target_columns: Final = mirror_target.c
CLAIM_TRIES: Final = 4


class LeaseLostError(Exception):
    """Another relay holds the lane by now; what this one found out is dropped."""


@dataclass(frozen=True)
class Lane:
    """A claimed lane."""

    did: str
    host: str
    owner: str
    epoch: int
    lease_until: datetime


def later(one: ColumnElement[datetime], other: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """Give the later of two times; SQLite and PostgreSQL name that function differently."""
    return case((one > other, one), else_=other)


def lane_due_at() -> ColumnElement[datetime]:
    """Give when a lane may be claimed."""
    return later(later(lane_columns.due_at, lane_columns.not_before), lane_columns.paced_until)


def claim(database: Database, *, owner: str, limit: int, lease: timedelta) -> list[Lane]:
    """Take up to `limit` due lanes, the longest due first, and no more of a host than it may have at once."""
    with database.read() as connection:  # an idle relay writes nothing
        due = connection.scalars(_DUE_HOSTS, {"now": database.now(connection)}).all()
    if not due:
        return []
    for _ in range(CLAIM_TRIES):
        lanes, is_whole = _claim(database, due, owner, limit, lease)
        if lanes or is_whole:
            return lanes
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - others are claiming, which takes milliseconds
    return []


def _claim(
    database: Database, due: Sequence[str], owner: str, limit: int, lease: timedelta
) -> tuple[list[Lane], bool]:
    """Claim of these hosts, and say whether all of them could be looked at."""
    lanes: list[Lane] = []
    with database.write() as connection:
        most_of = _lock_hosts(connection, due)
        for host in due:
            if host in most_of:
                now = database.now(connection)
                dids = _next_of_host(connection, host, now, most_of[host], limit - len(lanes))
                lanes += _lease(connection, host, dids, owner, now + lease)
    return lanes, len(most_of) == len(due)


def _lock_hosts(connection: Connection, hosts: Sequence[str]) -> dict[str, int]:
    """Hold the hosts that no other claim holds, for leases are counted under their host's lock; give their limits."""
    return {row.host: row.max_lanes for row in connection.execute(_HOSTS, {"hosts": hosts})}


def _next_of_host(connection: Connection, host: str, now: datetime, most: int, limit: int) -> Sequence[str]:
    busy = connection.scalar(_BUSY, {"host": host, "now": now}) or 0
    room = max(0, min(most - busy, limit))
    return connection.scalars(_NEXT_OF_HOST, {"host": host, "now": now, "room": room}).all()


def _lease(connection: Connection, host: str, dids: Sequence[str], owner: str, until: datetime) -> list[Lane]:
    if not dids:
        return []
    rows = connection.execute(_LEASE, {"dids": dids, "lease_owner": owner, "lease_until": until})
    return [Lane(row.did, host, owner, row.lease_epoch, until) for row in rows]


def lock_lane(connection: Connection, lane: Lane) -> None:
    """Hold the lane's row to the end of the transaction; raises LeaseLostError unless it is as it was claimed."""
    row = connection.execute(_LOCK, {"did": lane.did}).one_or_none()
    if row is None or (row.lease_epoch, row.host) != (lane.epoch, lane.host):
        raise LeaseLostError


def release(database: Database, lane: Lane) -> None:
    """Give the lane back, due when the earliest of its targets is, but after the lanes that wait already."""
    with database.write() as connection:
        lock_lane(connection, lane)
        earliest = connection.scalar(_EARLIEST, {"did": lane.did})
        due_at = max(earliest or NEVER, database.now(connection))
        change_lane(connection, lane.did, lease_owner=None, lease_until=PAST, due_at=due_at)


def give_up(database: Database, lane: Lane) -> None:
    """Give the lane back after a turn that broke down, to be tried again a little later."""
    with database.write() as connection:
        lock_lane(connection, lane)
        now = database.now(connection)
        slow_down(connection, lane.did, now)
        change_lane(connection, lane.did, lease_owner=None, lease_until=PAST, due_at=now)


def slow_down(connection: Connection, did: str, now: datetime, *, at_least: timedelta = timedelta()) -> None:
    """Let the whole lane wait, the longer the more often it had to."""
    failures = connection.scalar(select(lane_columns.failures).where(lane_columns.did == did)) or 0
    not_before = now + max(backoff(failures), at_least)
    change_lane(connection, did, failures=failures + 1, not_before=not_before)


def is_open() -> ColumnElement[bool]:
    """Whether a target has something that the relay can send."""
    return and_(
        target_columns.desired_gen > target_columns.acked_gen,
        or_(target_columns.state != "rejected", target_columns.failed_gen < target_columns.desired_gen),
        or_(
            target_columns.desired_op
            == DELETE,  # the owner's delete goes through, whoever changed the record
            and_(target_columns.state != HELD, ~target_columns.detached),
        ),
    )


def target_due_at() -> ColumnElement[datetime]:
    """Give when the relay may see to a target.

    A newer generation does not wait for the failures of an older one; what is not to be sent is looked at in time.
    """
    failed = target_columns.failed_gen == target_columns.desired_gen
    return case((~is_open(), target_columns.look_at), (failed, target_columns.not_before), else_=PAST)


def change_lane(connection: Connection, did: str, **columns: Any) -> None:
    """Set columns of a lane."""
    connection.execute(_CHANGE, {"of_did": did, **columns})


# Made once: making these takes longer than running them, and every turn does.

_NOW: Final = bindparam("now", type_=UtcDateTime)
_DUE: Final = and_(
    lane_columns.state == READY,
    ~lane_columns.paused,
    lane_due_at() <= _NOW,
    lane_columns.lease_until <= _NOW,
)
_DUE_HOSTS: Final = (
    select(lane_columns.host)
    .join(pds_host, pds_host.c.host == lane_columns.host)
    .where(_DUE, ~pds_host.c.paused, pds_host.c.retry_at <= _NOW)
    .group_by(lane_columns.host)
    .order_by(func.min(lane_due_at()))
)
_HOSTS: Final = (
    select(pds_host.c.host, pds_host.c.max_lanes)
    .where(pds_host.c.host.in_(bindparam("hosts", expanding=True)))
    .with_for_update(skip_locked=True)
)
_OF_HOST: Final = lane_columns.host == bindparam("host")
_BUSY: Final = select(func.count()).select_from(mirror_lane).where(_OF_HOST, lane_columns.lease_until > _NOW)
_NEXT_OF_HOST: Final = (
    select(lane_columns.did)
    .where(_OF_HOST, _DUE)
    .order_by(lane_due_at(), lane_columns.did)
    .limit(bindparam("room"))
    .with_for_update(skip_locked=True)
)
_LEASE: Final = (
    update(mirror_lane)
    .where(lane_columns.did.in_(bindparam("dids", expanding=True)))
    .values(
        lease_owner=bindparam("lease_owner"),
        lease_epoch=lane_columns.lease_epoch + 1,
        lease_until=bindparam("lease_until"),
    )
    .returning(lane_columns.did, lane_columns.lease_epoch)
)
_LOCK: Final = (
    select(lane_columns.lease_epoch, lane_columns.host)
    .where(lane_columns.did == bindparam("did"))
    .with_for_update()
)
_EARLIEST: Final = select(func.min(target_due_at())).where(target_columns.did == bindparam("did"))
_CHANGE: Final = update(mirror_lane).where(lane_columns.did == bindparam("of_did"))


def park_lane(connection: Connection, did: str, reason: str = AUTH_REQUIRED) -> None:
    """Let the lane wait, with the reason; edits go on to gather in the log."""
    change_lane(connection, did, state=reason)


def park_flight(connection: Connection, lane: Lane, reason: str) -> None:
    """Let the lane wait, unless its owner has signed in since it was claimed: then it was the old login that failed."""
    connection.execute(
        update(mirror_lane)
        .where(lane_columns.did == lane.did, lane_columns.lease_owner == lane.owner)
        .values(state=reason)
    )


def resume_lane(connection: Connection, did: str, host: str, at: datetime) -> None:
    """Set the lane to work on this host, at once: in the transaction of a sign-in.

    What is under way goes on, but nobody holds it any more: a login that it finds dead is the old one's.
    """
    known_host = insert_into(connection, pds_host).values(host=host)
    connection.execute(known_host.on_conflict_do_nothing())  # no lock: a sign-in that hangs stops no claim
    insert = insert_into(connection, mirror_lane).values(
        did=did, host=host, state=READY, due_at=at, not_before=PAST, failures=0
    )
    new, same_host = insert.excluded, lane_columns.host == host
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["did"],
            set_={
                "host": new.host,
                "state": new.state,
                "due_at": new.due_at,
                "not_before": new.not_before,
                "paced_until": case((same_host, lane_columns.paced_until), else_=PAST),
                "failures": new.failures,
                "lease_owner": None,
                "lease_until": case((same_host, lane_columns.lease_until), else_=PAST),
            },
        )
    )
    connection.execute(update(mirror_target).where(target_columns.did == did).values(not_before=PAST))
    connection.execute(
        update(blob_job).where(blob_job.c.did == did).values(not_before=PAST, lease_owner=None)
    )
