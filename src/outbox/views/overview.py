"""Lists lanes and hosts for operators, in the order of their names, with what waits and why."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from eventstore.streams.buckets import for_account
from eventstore.untrusted import is_storable
from outbox.mirror.due import host_open_at, is_open, lane_backfill_at, lane_due_at, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import BreakerState, LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import NEVER_LITERAL, NO_FAILURES, host, lane, mirror_lane, pds_host, target
from outbox.mirror.targets import DELETE
from outbox.views.status import IS_PAUSED, STATE, TARGETS_AT_WORK

_HOST_FAILS: Final = sa.func.coalesce(host.failures > 0, sa.false())
IS_PDS_AWAY: Final = sa.or_(
    sa.func.coalesce(host.breaker == BreakerState.OPEN, sa.false()), sa.and_(_HOST_FAILS, lane.failures > 0)
)
"""Whether the lane's PDS did not answer the last time: its breaker is open, or the lane failed there as did the host."""
LANE_STATE: Final = sa.case(
    (lane.state != LaneState.READY, lane.state),
    (IS_PAUSED, MirrorReason.PAUSED.value),
    (is_observed(), MirrorReason.RESTORED.value),
    (IS_PDS_AWAY, MirrorReason.PDS_AWAY.value),
    (lane.failures > 0, MirrorReason.BACKOFF.value),
    else_=LaneState.READY.value,
)
"""The lane's state as it is shown: a ready lane is `paused` or `restored` where it is sent nothing, and `pds_away` or
in `backoff` where it was tried in vain."""
AT_WORK: Final = (LaneState.READY.value, MirrorReason.PDS_AWAY.value, MirrorReason.BACKOFF.value)
"""The shown states of lanes that the relay delivers, or tries to."""
FAILING_SINCE: Final = sa.func.coalesce(lane.failing_since, sa.case((IS_PDS_AWAY, host.failing_since)))
FIRST_ERROR: Final = sa.func.coalesce(lane.first_error, sa.case((IS_PDS_AWAY, host.first_error)))
"""Of the lane or, where its PDS is away and the lane itself was not tried yet, of its host."""
CLASS: Final = sa.case((target.desired_op == DELETE, "delete"), (target.backfill, "backfill"), else_="edit")
LANES_OF_HOSTS: Final = mirror_lane.outerjoin(pds_host, host.host == lane.host)
NEEDS_LOOK: Final = sa.or_(host.failing_since.is_not(None), host.refuted_writes > 0, host.paused)
"""True for hosts that fail, are doubted, or were paused by an operator."""
_fails_since: Final = sa.func.coalesce(host.failing_since, NEVER_LITERAL)


_SHOWN: Final = (
    *(column for column in lane if column.key not in NO_FAILURES),
    LANE_STATE.label("mirror_state"),
    FAILING_SINCE.label("failing_since"),
    FIRST_ERROR.label("first_error"),
)


def lanes(
    connection: sa.Connection,
    *,
    at: str | None,
    state: str | None,
    after: str,
    limit: int,
    did: str | None = None,
) -> Sequence[Any]:
    """Return lanes with their `mirror_state`, ordered by DID; `at` filters by host."""
    named = ((lane.host == at, at), (LANE_STATE.in_((state,)), state), (lane.did == did, did))
    conditions = [condition for condition, name in named if name is not None]
    found = sa.select(*_SHOWN).select_from(LANES_OF_HOSTS).where(lane.did > after, *conditions)
    return connection.execute(found.order_by(lane.did).limit(limit)).all()


def hosts(
    connection: sa.Connection,
    *,
    limit: int,
    failing: bool = False,
    after: tuple[datetime | str, str] | None = None,
    named: str | None = None,
) -> Sequence[Any]:
    """Return hosts in the order of their origins, all or the one that is named; or those that need a look, the longest failing first.

    `after` has the origin of the host before these and, of a failing one, since when it fails.
    """
    query = sa.select(pds_host).limit(limit)
    if named is not None:
        query = query.where(host.host == named)
    if not failing:
        return connection.execute(query.where(host.host > (after or ("", ""))[1]).order_by(host.host)).all()
    if after is not None:
        since, last = after
        query = query.where(sa.or_(_fails_since > since, sa.and_(_fails_since == since, host.host > last)))
    return connection.execute(query.where(NEEDS_LOOK).order_by(_fails_since, host.host)).all()


def waiting_in(connection: sa.Connection, dids: Iterable[str]) -> Mapping[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    counted = sa.select(target.did, STATE.label("mirror_state"), sa.func.count()).select_from(TARGETS_AT_WORK)
    waits = counted.where(target.did.in_(list(dids)), STATE != MirrorState.DELIVERED)
    for did, state, records in connection.execute(waits.group_by(target.did, "mirror_state")):
        found[did][state] = records
    return found


@dataclass
class LanesOfHost:
    """The lanes of a host, counted by state; those that a relay holds; and when its PDS last answered a delivery as it should."""

    lanes: dict[str, int] = field(default_factory=dict)
    under_way: int = 0
    last_success_at: datetime | None = None


def lanes_at(connection: sa.Connection, origins: Iterable[str], now: datetime) -> Mapping[str, LanesOfHost]:
    found: dict[str, LanesOfHost] = defaultdict(LanesOfHost)
    counted = sa.select(
        lane.host,
        LANE_STATE.label("mirror_state"),
        sa.func.count().label("lanes"),
        sa.func.count(sa.case((lane.lease_until > now, 1))).label("under_way"),
        sa.func.max(lane.last_success_at).label("last_success_at"),
    )
    these = counted.select_from(LANES_OF_HOSTS).where(lane.host.in_(list(origins)))
    for row in connection.execute(these.group_by(lane.host, "mirror_state")):
        of_host = found[row.host]
        of_host.lanes[row.mirror_state] = row.lanes
        of_host.under_way += row.under_way
        known = [time for time in (of_host.last_success_at, row.last_success_at) if time is not None]
        of_host.last_success_at = max(known, default=None)
    return found


def lane_of(connection: sa.Connection, did: str) -> Any | None:
    """Return an account's lane with its `mirror_state`, and when it may be claimed: `live_at` and `backfill_from`."""
    return connection.execute(_LANE, for_account(did, "lane")).one_or_none()


def waiting_by_class(connection: sa.Connection, did: str) -> dict[str, int]:
    waits = sa.select(CLASS.label("work"), sa.func.count()).where(target.did == did, is_open())
    return dict(connection.execute(waits.group_by("work")).all())


# Built once (CONTRIBUTING.md).

_LANE: Final = (
    sa.select(
        *_SHOWN,
        latest_of(lane_due_at(), host_open_at()).label("live_at"),
        latest_of(lane_backfill_at(), host.backfill_after, host_open_at()).label("backfill_from"),
    )
    .select_from(LANES_OF_HOSTS)
    .where(lane.did == sa.bindparam("lane"))
)


_MARKS: Final = sa.select(mirror_lane, host.paused, host.breaker).outerjoin(pds_host, host.host == lane.host)


def lane_marks(connection: sa.Connection, dids: Collection[str]) -> dict[str, Hashable]:
    """Return a mark of each account that has a lane; another mark is a hint to read the mirror again."""
    these = [did for did in dids if is_storable(did)]
    if not these:
        return {}
    rows = connection.execute(_MARKS.where(lane.did.in_(these)))
    return {row.did: tuple(row) for row in rows}
