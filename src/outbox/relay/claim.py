"""Claims due lanes for one relay, and never more of a host than its limit.

1. find the hosts with due lanes and a free slot, part by part: this writes nothing.
2. lock these hosts one after the other, while there is room; locked ones are skipped, so that relays claim side by side.
3. count the host's leases in a statement after the lock: one that counts as it locks sees the leases from before it.
4. lease its next lanes: live work first, then backfill, which leaves one slot of every host to live work.

Hosts that failed the last time get a share of the relay's lanes, and so do slow ones: however many of them hang, or answer
late, the others are not delayed.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import Database, now_column
from eventstore.sql.prepared import Prepared, Result, pipelined
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import EVERY, Part, in_part
from outbox.mirror.due import host_open_at, lane_backfill_at, lane_due_at, latest_of
from outbox.mirror.hosts import failed_last, lanes_at_once
from outbox.mirror.lanes import Lane, host_key, shards
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import (
    HAS_BACKFILL,
    HAS_LIVE_WORK,
    HAS_WORK,
    NEVER,
    NEVER_LITERAL,
    WAS_LEASED,
    lane,
    mirror_lane,
    pds_host,
)

MAX_CLAIM_ATTEMPTS: Final = 4


def claim(
    database: Database,
    parts: Sequence[Part] = (EVERY,),
    *,
    owner: str,
    limit: int,
    lease: timedelta,
    backfill: int = sys.maxsize,
    of_failing_hosts: int = sys.maxsize,
    slow_hosts: Container[str] = (),
    of_slow_hosts: int = sys.maxsize,
    interval: timedelta = timedelta(),
) -> list[Lane]:
    """Lease up to `limit` due lanes of these parts, the longest due first.

    Up to `backfill` of them are for backfill, up to `of_failing_hosts` of hosts that failed the last time, and up to
    `of_slow_hosts` of slow ones. Until `interval` has passed, a lane is claimed again for live work only if a caller waits
    for it.
    """
    due = _due_hosts(database, parts)
    if not due:
        return []
    for _ in range(MAX_CLAIM_ATTEMPTS):
        capacity = _Capacity(
            owner, lease, limit, backfill, of_failing_hosts, slow_hosts, of_slow_hosts, interval
        )
        lanes: list[Lane] = []
        none_locked = True
        with database.write() as connection:
            for host, found in due.items():
                if not capacity.is_for(found[0][0]):
                    continue
                rows = _locked_host(connection, host)
                none_locked = none_locked and bool(rows)
                for row in rows:
                    now = database.now(connection, read=row.now)
                    lanes += _claim_of_host(connection, row, found, now, capacity)
        if lanes or none_locked:
            return lanes
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - other claims hold the hosts for milliseconds
    return []


_Found = Sequence[tuple[Any, Part]]
"""What is due of a host in each part, the longest due first."""


def _due_hosts(database: Database, parts: Iterable[Part]) -> Mapping[str, _Found]:
    """Return the hosts with due lanes; those with live work come first."""
    with database.read_committed() as connection:  # an idle relay writes nothing
        now = database.recent_now(connection)
        with pipelined(connection):
            started = [(_hosts_due(part).start(connection, {"now": now}), part) for part in parts]
    found = [(row, part) for result, part in started for row in result.all()]
    hosts = defaultdict[str, list[tuple[Any, Part]]](list)
    for row, part in sorted(found, key=lambda each: (each[0].live_at or NEVER, each[0].backfill_at or NEVER)):
        hosts[row.host].append((row, part))
    return hosts


@dataclass
class _Capacity:
    """The claiming relay, and how many more lanes it takes."""

    owner: str
    lease: timedelta
    lanes: int
    backfill: int
    of_failing_hosts: int
    slow_hosts: Container[str]
    of_slow_hosts: int
    interval: timedelta

    def is_for(self, host: Any) -> bool:
        return self.of_host(host) > 0 and (host.live_at is not None or self.backfill > 0)

    def of_host(self, host: Any) -> int:
        """Return how many lanes may still be claimed of a host, given its row."""
        of_failing = self.of_failing_hosts if failed_last(host) else self.lanes
        of_slow = self.of_slow_hosts if host.host in self.slow_hosts else self.lanes
        return min(self.lanes, of_failing, of_slow)

    def take(self, host: Any, *, lanes: int, backfill: int) -> None:
        """Count lanes that were claimed of a host, `backfill` of them for backfill."""
        self.lanes -= lanes
        self.backfill -= backfill
        self.of_failing_hosts -= lanes if failed_last(host) else 0
        self.of_slow_hosts -= lanes if host.host in self.slow_hosts else 0


def _locked_host(connection: sa.Connection, host: str) -> list[Any]:
    """Lock the host, and return its row as it is then; nothing where another claim or report has it."""
    with pipelined(connection):
        has_lock = (
            None if connection.dialect.name == "sqlite" else _TRY_HOST.start(connection, {"host": host})
        )
        row = _HOST.start(connection, {"host": host})
    return row.all() if has_lock is None or has_lock.all()[0].is_held else []


def _claim_of_host(
    connection: sa.Connection, host: Any, found: _Found, now: datetime, capacity: _Capacity
) -> list[Lane]:
    at_once = 0 if host.paused or max(host.retry_at, host.paced_until) > now else lanes_at_once(host)
    [busy] = _BUSY.start(connection, {"host": host.host, "now": now}).all()
    lanes = min(at_once - busy.lanes, capacity.of_host(host))
    if lanes <= 0:
        return []
    wanted = {"host": host.host, "now": now}
    parts = [part for row, part in found if row.live_at is not None]
    live = _next_lanes(connection, wanted, parts, lanes)
    room = min(max(1, at_once - 1) - busy.backfill, capacity.backfill, lanes - len(live))
    parts = [part for row, part in found if row.backfill_at is not None and host.backfill_after <= now]
    rest = _next_lanes(connection, wanted, parts, room, backfill=True)
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
        Lane(
            row.did,
            host.host,
            capacity.owner,
            row.lease_epoch,
            until,
            is_backfill,
            failed_last(host),
            is_doubted=host.refuted_writes > 0,
        )
        for result, is_backfill in leased
        for row in result.all()
    ]


def _next_lanes(
    connection: sa.Connection,
    wanted: Mapping[str, Any],
    parts: list[Part],
    room: int,
    *,
    backfill: bool = False,
) -> list[str]:
    """Return up to `room` lanes, the longest due of all these parts."""
    if room <= 0:
        return []
    with pipelined(connection):
        started = [
            _next(part, backfill=backfill).start(connection, {**wanted, "room": room}) for part in parts
        ]
    found = sorted((row.at, row.did) for result in started for row in result.all())
    return [did for _, did in found[:room]]


# Built once (CONTRIBUTING.md).

_NOW: Final = sa.bindparam("now", type_=UtcDateTime)
_ONE: Final[sa.ColumnElement[Any]] = sa.literal_column("1")
_host: Final = pds_host.c
_IS_DUE: Final = (lane.lease_until <= _NOW, ~is_observed())
_LIVE: Final = (HAS_LIVE_WORK, lane_due_at() <= _NOW, *_IS_DUE)
_BACKFILL: Final = (HAS_BACKFILL, lane_backfill_at() <= _NOW, lane_due_at() > _NOW, *_IS_DUE)


def _hosts_with(work: sa.ColumnElement[bool], part: Part) -> sa.Select[Any]:
    """Select the hosts that have lanes with this work, one step in the index for each."""
    these = sa.select(lane.host).where(in_part(lane.bucket, part), work).order_by(lane.host).limit(_ONE)
    found = sa.select(these.scalar_subquery().label("host")).cte(recursive=True)
    next_one = these.where(lane.host > found.c.host).correlate(found).scalar_subquery()
    found = found.union_all(sa.select(next_one).where(found.c.host.is_not(None)))
    return sa.select(found.c.host).where(found.c.host.is_not(None))


def _hosts(part: Part) -> sa.Join:
    at_work = sa.union(_hosts_with(HAS_LIVE_WORK, part), _hosts_with(HAS_BACKFILL, part))
    return pds_host.join(at_work.subquery("at_work"), sa.literal_column("at_work.host") == _host.host)


def _first(
    part: Part, at: sa.ColumnElement[datetime], *which: sa.ColumnElement[bool]
) -> sa.ColumnElement[Any]:
    """The first of these times among a host's lanes: a step in the index, and one for each lane that is leased."""
    of_host = sa.select(at).where(in_part(lane.bucket, part), lane.host == _host.host, *which)
    return of_host.order_by(at).limit(_ONE).correlate(pds_host).scalar_subquery()


_AT_ONCE: Final = sa.case(
    (_host.breaker == BreakerState.OPEN, 1), else_=sa.func.coalesce(_host.ramp, _host.max_lanes)
)


def _under_way(part: Part) -> sa.ColumnElement[int]:
    leased = (in_part(lane.bucket, part), lane.host == _host.host, lane.lease_until > _NOW, WAS_LEASED)
    return sa.select(sa.func.count()).where(*leased).correlate(pds_host).scalar_subquery()


@cache
def _hosts_due(part: Part) -> Prepared:
    backfill_at = _first(part, lane_backfill_at(), *_BACKFILL)
    found = (
        sa.select(
            _host.host,
            _first(part, lane_due_at(), *_LIVE).label("live_at"),
            sa.case((_host.backfill_after <= _NOW, backfill_at)).label("backfill_at"),
            _host.failures,
            _host.ramp,
        )
        .select_from(_hosts(part))
        # otherwise lanes that wait for a hanging host cost every claim a write
        .where(~_host.paused, host_open_at() <= _NOW, _under_way(part) < _AT_ONCE)
        .subquery()
    )
    has_work = sa.or_(found.c.live_at.is_not(None), found.c.backfill_at.is_not(None))
    return Prepared(lambda _: sa.select(found).where(has_work))


_TRY_HOST: Final = Prepared(
    lambda _: sa.select(
        sa.func.pg_try_advisory_xact_lock(host_key(sa.bindparam("host", type_=sa.Text))).label("is_held")
    )
)
_HOST: Final = Prepared(
    lambda dialect: sa.select(pds_host, now_column(dialect)).where(pds_host.c.host == sa.bindparam("host"))
)
_OF_HOST: Final = lane.host == sa.bindparam("host")
_BUSY: Final = Prepared(
    lambda _: sa.select(
        sa.func.count().label("lanes"),
        sa.func.count(sa.case((lane.is_backfill, 1))).label("backfill"),
    ).where(_OF_HOST, lane.lease_until > _NOW, WAS_LEASED)
)


@cache
def _next(part: Part, *, backfill: bool) -> Prepared:
    at, which = (lane_backfill_at(), _BACKFILL) if backfill else (lane_due_at(), _LIVE)
    return Prepared(
        lambda _: (
            sa.select(lane.did, at.label("at"))
            .where(in_part(lane.bucket, part), _OF_HOST, *which)
            .order_by(at, lane.did)
            .limit(sa.bindparam("room", type_=sa.Integer))
            .with_for_update(skip_locked=True, of=mirror_lane)
        )
    )


_THIS: Final = lane.did == sa.bindparam("did")
_NEW_LEASE: Final = sa.update(mirror_lane).values(lease_epoch=lane.lease_epoch + 1)
_LEASE_COLUMNS: Final = ("lease_owner", "lease_until", "debounced_until", "is_backfill")
_LEASE: Final = Prepared(
    lambda _: _NEW_LEASE.where(_THIS).returning(lane.did, lane.lease_epoch), _LEASE_COLUMNS
)


def start_claim(connection: sa.Connection, did: str, lease: Mapping[str, Any], now: datetime) -> Result:
    """Start to lease a lane in the transaction that makes it due, if a poll would find that it may run now; returns its row then.

    Its host must not have failed the last time, nor be doubted, and no other claim may be under way there. Whether it is slow, the caller knows.
    """
    if connection.dialect.name != "sqlite":
        _LOCK_HOST.start(connection, {"did": did})
    return _LEASE_ALONE.start(connection, {"did": did, "now": now, **lease, "is_backfill": False})


_LOCKED: Final = sa.literal_column("'mastertape.locked_host'", sa.Text)
"""The setting, until the transaction ends, that says which host this has locked: the lease is a statement of its own, which counts after the lock."""
_LOCK_HOST: Final = Prepared(
    lambda _: sa.select(
        sa.func.set_config(
            _LOCKED,
            sa.func.coalesce(
                sa.select(lane.host)
                .where(_THIS, sa.func.pg_try_advisory_xact_lock(host_key(lane.host)))
                .scalar_subquery(),
                sa.literal_column("''"),
            ),
            sa.true(),
        )
    )
)


def _lease_alone(dialect: str) -> Any:
    is_locked = () if dialect == "sqlite" else (sa.func.current_setting(_LOCKED, sa.true()) == _host.host,)
    is_well = (~_host.paused, host_open_at() <= _NOW, _host.failures == _ZERO, _host.ramp.is_(None))
    is_trusted = _host.refuted_writes == _ZERO
    has_room = sa.exists().where(
        _host.host == lane.host, *is_locked, *is_well, is_trusted, _under_way(EVERY) < _AT_ONCE
    )
    return _NEW_LEASE.where(_THIS, *_LIVE, has_room).returning(lane.host, lane.lease_epoch)


_ZERO: Final = sa.literal_column("0", sa.Integer)
_LEASE_ALONE: Final = Prepared(_lease_alone, _LEASE_COLUMNS)


def seconds_until_due(
    database: Database, parts: Iterable[Part] = (EVERY,)
) -> tuple[dict[Part, float], list[Part]]:
    """Compute the seconds until a lane of each part may be claimed: 0 or less if one is due, although another relay may hold it.

    Returns the parts, too, in which a lane with work is leased.
    """
    with database.read_committed() as connection:
        now = database.recent_now(connection)
        with pipelined(connection):
            started = {part: _due(part).start(connection, {}) for part in parts}
        found = [(part, result.all()[0]) for part, result in started.items()]
    times = {part: (row.live, row.backfill, row.leased_until) for part, row in found}
    seconds = {part: (min(at or NEVER for at in each) - now).total_seconds() for part, each in times.items()}
    return seconds, [part for part, row in found if row.leased_until is not None]


_IS_FREE: Final = (~WAS_LEASED, ~is_observed())


def _free_lanes(part: Part) -> sa.Subquery:
    live_at = sa.func.coalesce(_first(part, lane_due_at(), HAS_LIVE_WORK, *_IS_FREE), NEVER_LITERAL)
    waiting_at = sa.func.coalesce(_first(part, lane_backfill_at(), HAS_BACKFILL, *_IS_FREE), NEVER_LITERAL)
    return (
        sa.select(
            sa.func.min(latest_of(live_at, host_open_at())).label("live"),
            sa.func.min(latest_of(waiting_at, _host.backfill_after, host_open_at())).label("backfill"),
        )
        .select_from(_hosts(part))
        .where(~_host.paused)
        .subquery()
    )


def accounts_with_work() -> sa.Select[str]:
    """Select an account whose lane is leased, or may be claimed by `:soon`."""
    live = (HAS_LIVE_WORK, latest_of(lane_due_at(), host_open_at()) <= _SOON)
    waiting = latest_of(lane_backfill_at(), _host.backfill_after, host_open_at()) <= _SOON
    of_host = (lane.host == _host.host, ~_host.paused)
    conditions = ((*live, *of_host), (HAS_BACKFILL, waiting, *of_host), (WAS_LEASED, HAS_WORK))
    found = (sa.select(lane.did).where(*these).limit(_ONE).subquery() for these in conditions)
    return sa.select(sa.union_all(*map(sa.select, found)).subquery().c.did)


_SOON: Final = sa.bindparam("soon", type_=UtcDateTime)


def longest_due(connection: sa.Connection) -> datetime | None:
    """Return when the first lane that no relay has leased may be claimed for live work, or might have been."""
    found = [connection.scalar(sa.select(_free_lanes(part).c.live)) for part in shards(connection)]
    return min((at for at in found if at is not None), default=None)


@cache
def _due(part: Part) -> Prepared:
    leased_until = sa.select(sa.func.min(lane.lease_until)).where(
        in_part(lane.bucket, part), WAS_LEASED, HAS_WORK
    )
    columns = (_free_lanes(part), leased_until.scalar_subquery().label("leased_until"))
    return Prepared(lambda _: sa.select(*columns))
