"""Claims due lanes for one relay, and never more of a host than its limit.

1. find the hosts with due lanes and a free slot: this writes nothing.
2. lock these hosts one after the other, while there is room; locked ones are skipped, so that relays claim side by side.
3. count the host's leases in a statement after the lock: one that counts as it locks sees the leases from before it.
4. lease its next lanes: live work first, then backfill, which leaves one slot of every host to live work.

Hosts that failed the last time get a share of the relay's lanes: however many of them hang, the others are not delayed.
"""

import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from eventstore.database import Database, with_now
from eventstore.jobs.table import job
from eventstore.prepared import Prepared, pipelined
from eventstore.schema import UtcDateTime
from outbox.mirror.due import host_open_at, lane_backfill_at, lane_columns, lane_due_at, latest_of
from outbox.mirror.host_state import failed_last, lanes_at_once
from outbox.mirror.lanes import Lane
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import (
    HAS_WORK,
    IS_OPEN_JOB,
    NEVER,
    PAST_LITERAL,
    UPLOAD,
    blob_job,
    mirror_lane,
    pds_host,
    was_leased,
)

MAX_CLAIM_ATTEMPTS: Final = 4


def claim(
    database: Database,
    *,
    owner: str,
    limit: int,
    lease: timedelta,
    backfill: int | None = None,
    of_failing_hosts: int | None = None,
    interval: timedelta = timedelta(),
) -> list[Lane]:
    """Lease up to `limit` due lanes, the longest due first.

    Up to `backfill` of them are for backfill, and up to `of_failing_hosts` of hosts that failed the last time. Until `interval`
    has passed, a lane is claimed again for live work only if a caller waits for it.
    """
    with database.read_committed() as connection:  # an idle relay writes nothing
        now = database.now(connection)
        due = _DUE_HOSTS.start(connection, {"now": now}).all()
    if not due:
        return []
    for _ in range(MAX_CLAIM_ATTEMPTS):
        capacity = _Capacity(
            owner,
            lease,
            limit,
            limit if backfill is None else backfill,
            limit if of_failing_hosts is None else of_failing_hosts,
            interval,
        )
        lanes: list[Lane] = []
        none_locked = True
        with database.write() as connection:
            for host in filter(capacity.is_for, due):  # hosts with live work come first
                rows = _HOST.start(connection, {"host": host.host}).all()
                none_locked = none_locked and bool(rows)
                for row in rows:
                    now = database.now(connection, read=row.now)
                    lanes += _claim_of_host(connection, row, now, capacity)
        if lanes or none_locked:
            return lanes
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - other claims hold the hosts for milliseconds
    return []


@dataclass
class _Capacity:
    """The claiming relay, and how many more lanes it takes."""

    owner: str
    lease: timedelta
    lanes: int
    backfill: int
    of_failing_hosts: int
    interval: timedelta

    def is_for(self, host: Any) -> bool:
        """Whether a due lane of this host may still be claimed."""
        return self.of_host(host) > 0 and (host.live > 0 or self.backfill > 0)

    def of_host(self, host: Any) -> int:
        """Return how many lanes may still be claimed of a host, given its row."""
        return min(self.lanes, self.of_failing_hosts) if failed_last(host) else self.lanes

    def take(self, host: Any, *, lanes: int, backfill: int) -> None:
        """Count lanes that were claimed of a host, `backfill` of them for backfill."""
        self.lanes -= lanes
        self.backfill -= backfill
        self.of_failing_hosts -= lanes if failed_last(host) else 0


def _claim_of_host(connection: Connection, host: Any, now: datetime, capacity: _Capacity) -> list[Lane]:
    at_once = 0 if host.paused or max(host.retry_at, host.paced_until) > now else lanes_at_once(host)
    [busy] = _BUSY.start(connection, {"host": host.host, "now": now}).all()
    lanes = min(at_once - busy.lanes, capacity.of_host(host))
    if lanes <= 0:
        return []
    backfill = min(max(1, at_once - 1) - busy.backfill, capacity.backfill, lanes)
    wanted = {"host": host.host, "now": now, "room": lanes}
    rows = _NEXT_OF_HOST.start(connection, wanted).all()
    live = [row.did for row in rows if row.is_live]
    rest = [row.did for row in rows if not row.is_live][: max(0, backfill)]
    capacity.take(host, lanes=len(live) + len(rest), backfill=len(rest))
    until = now + capacity.lease
    lease = {"lease_owner": capacity.owner, "lease_until": until, "debounced_until": now + capacity.interval}
    with pipelined(connection):
        leased = [
            (_LEASE.start(connection, {"did": did, **lease, "is_backfill": is_backfill}), is_backfill)
            for dids, is_backfill in ((live, False), (rest, True))
            for did in dids
        ]
    return [
        Lane(row.did, host.host, capacity.owner, row.lease_epoch, until, is_backfill, failed_last(host))
        for result, is_backfill in leased
        for row in result.all()
    ]


# Built once (CONTRIBUTING.md).

_NOW: Final = bindparam("now", type_=UtcDateTime)
_LIVE: Final = lane_due_at() <= _NOW


_IS_DUE: Final = and_(
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
_DUE_HOSTS: Final = Prepared(
    lambda _: (
        select(
            lane_columns.host,
            func.count(case((_LIVE, 1))).label("live"),
            pds_host.c.failures,
            pds_host.c.ramp,
        )
        .select_from(_OF_HOSTS)
        .where(_IS_DUE, ~pds_host.c.paused, host_open_at() <= _NOW)
        .group_by(
            lane_columns.host, pds_host.c.max_lanes, pds_host.c.breaker, pds_host.c.ramp, pds_host.c.failures
        )
        .having(
            _AT_ONCE > _UNDER_WAY
        )  # otherwise lanes that wait for a hanging host cost every claim a write
        .order_by(
            func.min(case((_LIVE, lane_due_at()), else_=NEVER)),
            func.min(lane_backfill_at()),
            lane_columns.host,
        )
    )
)
_HOST: Final = Prepared(
    lambda dialect: with_now(
        select(pds_host).where(pds_host.c.host == bindparam("host")).with_for_update(skip_locked=True),
        is_sqlite=dialect == "sqlite",
    )
)
_OF_HOST: Final = lane_columns.host == bindparam("host")
_BUSY: Final = Prepared(
    lambda _: select(
        func.count().label("lanes"), func.count(case((lane_columns.is_backfill, 1))).label("backfill")
    ).where(_OF_HOST, lane_columns.lease_until > _NOW, was_leased())
)
_NEXT_OF_HOST: Final = Prepared(
    lambda _: (
        select(lane_columns.did, _LIVE.label("is_live"))
        .select_from(_OF_HOSTS)
        .where(_OF_HOST, _IS_DUE)
        .order_by(~_LIVE, case((_LIVE, lane_due_at()), else_=lane_backfill_at()), lane_columns.did)
        .limit(bindparam("room", type_=Integer))
        .with_for_update(skip_locked=True, of=mirror_lane)
    )
)
_LEASE: Final = Prepared(
    lambda _: (
        update(mirror_lane)
        .where(lane_columns.did == bindparam("did"))
        .values(lease_epoch=lane_columns.lease_epoch + 1)
        .returning(lane_columns.did, lane_columns.lease_epoch)
    ),
    ("lease_owner", "lease_until", "debounced_until", "is_backfill"),
)


@dataclass(frozen=True)
class SecondsUntilDue:
    """The seconds until each kind may be claimed: 0 or less if it is due, although another relay may hold it."""

    lanes: float
    uploads: float
    probes: float

    @property
    def is_any_now(self) -> bool:
        """Whether anything is due; if it cannot be claimed, another relay holds it or its host is at its limit."""
        return min(self.lanes, self.uploads, self.probes) <= 0

    @property
    def later(self) -> float:
        """The seconds until anything else is due."""
        return min((each for each in (self.lanes, self.uploads, self.probes) if each > 0), default=inf)


def seconds_until_due(database: Database) -> SecondsUntilDue:
    """Compute the seconds until a lane, an upload or a probe may be claimed."""
    with database.read_committed() as connection:
        [found] = _DUE.start(connection, {}).all()
        now = database.now(connection, read=found.now)
    lanes = min(found.live or NEVER, found.backfill or NEVER)
    return SecondsUntilDue(
        *((time - now).total_seconds() for time in (lanes, found.uploads or NEVER, found.probes or NEVER))
    )


_AT_WORK: Final = (
    lane_columns.state == LaneState.READY,
    ~lane_columns.paused,
    ~pds_host.c.paused,
    ~is_observed(),
)
_FREE_AT: Final = latest_of(lane_columns.lease_until, host_open_at())
_LANES: Final = (
    select(
        func.min(latest_of(lane_due_at(), _FREE_AT)).label("live"),
        func.min(latest_of(lane_backfill_at(), _FREE_AT)).label("backfill"),
    )
    .select_from(_OF_HOSTS)
    .where(HAS_WORK, *_AT_WORK)
    .subquery()
)
_UPLOADS: Final = (
    select(
        func.min(
            latest_of(
                blob_job.c.not_before,
                func.coalesce(latest_of(job.c.due, job.c.lease_until), PAST_LITERAL),
                host_open_at(),
                pds_host.c.blobs_after,
            )
        )
    )
    .select_from(
        _OF_HOSTS.join(blob_job, blob_job.c.did == lane_columns.did).outerjoin(
            job, and_(job.c.kind == UPLOAD, job.c.subject == blob_job.c.did)
        )
    )
    .where(*_AT_WORK, IS_OPEN_JOB)
    .scalar_subquery()
)
_PROBES: Final = (
    select(func.min(latest_of(lane_columns.probe_at, lane_columns.lease_until)))
    .select_from(_OF_HOSTS)
    .where(~lane_columns.paused, ~pds_host.c.paused, lane_columns.probe_at < NEVER)
    .scalar_subquery()
)
_DUE: Final = Prepared(
    lambda dialect: with_now(
        select(_LANES, _UPLOADS.label("uploads"), _PROBES.label("probes")), is_sqlite=dialect == "sqlite"
    )
)
