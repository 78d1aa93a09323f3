"""The claim: due lanes into the hands of one relay, and of no host more than it may have at once.

Leases are counted under a lock on their host, in a statement of their own: one that counts as it locks sees the leases
of before it got the lock. Hosts are locked one after the other, and no more of them than there is room for: others claim
of the rest meanwhile. Live work goes before backfill, and backfill leaves a lane of every host to it.
"""

import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, case, func, or_, select, update

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.host_state import lanes_at_once
from outbox.mirror.lanes import Lane, host_open_at, lane_backfill_at, lane_columns, lane_due_at
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import HAS_WORK, NEVER, mirror_lane, pds_host, was_leased

TRIES: Final = 4


def claim(
    database: Database,
    *,
    owner: str,
    limit: int,
    lease: timedelta,
    backfill: int | None = None,
) -> list[Lane]:
    """Take up to `limit` due lanes, and of these up to `backfill` for work that can wait; the longest due go first."""
    with database.read_committed() as connection:  # an idle relay writes nothing
        due = connection.execute(_DUE_HOSTS, {"now": database.now(connection)}).all()
    if not due:
        return []
    for _ in range(TRIES):
        lanes, is_whole = _claim(
            database, due, _Room(owner, lease, limit, limit if backfill is None else backfill)
        )
        if lanes or is_whole:
            return lanes
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - others are claiming, which takes milliseconds
    return []


class _Room:
    """Who claims, and how much more."""

    def __init__(self, owner: str, lease: timedelta, lanes: int, backfill: int) -> None:
        self.owner, self.lease = owner, lease
        self.lanes, self.backfill = lanes, backfill

    def is_for(self, host: Any) -> bool:
        """Whether there is any for what is due of this host."""
        return self.lanes > 0 and (host.live > 0 or self.backfill > 0)


def _claim(database: Database, due: Sequence[Any], room: _Room) -> tuple[list[Lane], bool]:
    """Claim of these hosts while there is room, and say whether others held none of those that it came to."""
    lanes: list[Lane] = []
    is_whole = True
    locking = database.with_now(_HOST)
    with database.write() as connection:
        for host in takewhile(room.is_for, due):  # those with live work come first
            row = connection.execute(locking, {"host": host.host}).one_or_none()
            if row is None:
                is_whole = False
            else:
                lanes += _claim_of_host(connection, row, database.now(connection, read=row.now), room)
    return lanes, is_whole


def _claim_of_host(connection: Connection, host: Any, now: datetime, room: _Room) -> list[Lane]:
    at_once = 0 if host.paused or max(host.retry_at, host.paced_until) > now else lanes_at_once(host)
    busy = connection.execute(_BUSY, {"host": host.host, "now": now}).one()
    lanes = min(at_once - busy.lanes, room.lanes)
    if lanes <= 0:
        return []
    backfill = min(max(1, at_once - 1) - busy.backfill, room.backfill, lanes)
    rows = connection.execute(_NEXT_OF_HOST, {"host": host.host, "now": now, "room": lanes}).all()
    live = [row.did for row in rows if row.is_live]
    rest = [row.did for row in rows if not row.is_live][: max(0, backfill)]
    room.lanes -= len(live) + len(rest)
    room.backfill -= len(rest)
    until = now + room.lease
    return [
        Lane(row.did, host.host, room.owner, row.lease_epoch, until, is_backfill)
        for dids, is_backfill in ((live, False), (rest, True))
        if dids
        for row in connection.execute(
            _LEASE,
            {"dids": dids, "lease_owner": room.owner, "lease_until": until, "is_backfill": is_backfill},
        )
    ]


# Built once (CONTRIBUTING.md).

_NOW: Final = bindparam("now", type_=UtcDateTime)
_LIVE: Final = lane_due_at() <= _NOW
_DUE: Final = and_(
    HAS_WORK,
    ~lane_columns.paused,
    ~is_observed(),
    lane_columns.lease_until <= _NOW,
    or_(_LIVE, lane_backfill_at() <= _NOW),
)
_OF_HOSTS: Final = mirror_lane.join(pds_host, pds_host.c.host == lane_columns.host)
_AT_ONCE: Final = case(
    (pds_host.c.breaker == BreakerState.OPEN, 1), else_=func.coalesce(pds_host.c.ramp, pds_host.c.max_lanes)
)
_other: Final = mirror_lane.alias()
_UNDER_WAY: Final = (
    select(func.count())
    .where(_other.c.host == lane_columns.host, _other.c.lease_until > _NOW, was_leased(_other))
    .correlate(mirror_lane)
    .scalar_subquery()
)
_DUE_HOSTS: Final = (
    select(lane_columns.host, func.count(case((_LIVE, 1))).label("live"))
    .select_from(_OF_HOSTS)
    .where(_DUE, ~pds_host.c.paused, host_open_at() <= _NOW)
    .group_by(lane_columns.host, pds_host.c.max_lanes, pds_host.c.breaker, pds_host.c.ramp)
    .having(_AT_ONCE > _UNDER_WAY)  # else the lanes that wait for a host that hangs cost every claim a write
    .order_by(
        func.min(case((_LIVE, lane_due_at()), else_=NEVER)), func.min(lane_backfill_at()), lane_columns.host
    )
)
_HOST: Final[Select[Any]] = (
    select(pds_host).where(pds_host.c.host == bindparam("host")).with_for_update(skip_locked=True)
)
_OF_HOST: Final = lane_columns.host == bindparam("host")
_BUSY: Final = select(
    func.count().label("lanes"), func.count(case((lane_columns.is_backfill, 1))).label("backfill")
).where(_OF_HOST, lane_columns.lease_until > _NOW, was_leased())
_NEXT_OF_HOST: Final = (
    select(lane_columns.did, _LIVE.label("is_live"))
    .select_from(_OF_HOSTS)
    .where(_OF_HOST, _DUE)
    .order_by(~_LIVE, case((_LIVE, lane_due_at()), else_=lane_backfill_at()), lane_columns.did)
    .limit(bindparam("room"))
    .with_for_update(skip_locked=True, of=mirror_lane)
)
_LEASE: Final = (
    update(mirror_lane)
    .where(lane_columns.did.in_(bindparam("dids", expanding=True)))
    .values(
        lease_owner=bindparam("lease_owner"),
        lease_epoch=lane_columns.lease_epoch + 1,
        lease_until=bindparam("lease_until"),
        is_backfill=bindparam("is_backfill"),
    )
    .returning(lane_columns.did, lane_columns.lease_epoch)
)
