"""Parks lanes that wait for a sign-in or for their account, and schedules the probes of accounts.

The lane of an inactive or missing account becomes ready by itself: `outbox/probes` reads the account's status at
`probe_at`, ever more rarely. Edits are still appended to the log meanwhile.
"""

import random
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import for_account, in_part
from outbox.mirror.due import host_open_at, is_open, lane_due_at
from outbox.mirror.lanes import PROBE_CLEARED, Lane, record_failing, shards
from outbox.mirror.states import PROBED, LaneState
from outbox.mirror.tables import HAS_LIVE_WORK, NEVER, NO_FAILURES, host, lane, mirror_lane, target
from outbox.mirror.targets import DELETE
from outbox.pds.verdict import Kind

MAX_DOUBLINGS: Final = 10


PARKING: Final[Mapping[Kind, tuple[LaneState, int | None]]] = {
    Kind.SIGN_IN: (LaneState.AUTH_REQUIRED, None),  # a sign-in makes the lane ready
    Kind.INACTIVE: (LaneState.INACTIVE, 0),
    Kind.FULL: (LaneState.FULL, MAX_DOUBLINGS),  # an upload is sent again with all its bytes
    Kind.MOVED: (LaneState.STALE, -1),  # a directory may know where
}
"""For each verdict that parks: the lane's state, and where its pauses between probes begin: at -1 at once; None: never probed."""

PARKED: Final = (*PROBED, LaneState.AUTH_REQUIRED)
"""The states whose accounts are probed on request; one that waits for a sign-in may be gone, or elsewhere."""
FIRST_PROBE_PAUSE: Final = timedelta(minutes=15)
LONGEST_PROBE_PAUSE: Final = timedelta(hours=24)
LANES_PER_PAGE: Final = 100
"""How many lanes are locked at once to schedule their probes."""
PROBE_AFTER_FAILING: Final = timedelta(hours=1)
"""After so long without a success, the lane's account may have moved or be inactive."""


def probe_pause(probes: int) -> timedelta:
    """Return the pause before the next probe after so many, with jitter that spreads many accounts out."""
    pause = min(LONGEST_PROBE_PAUSE, FIRST_PROBE_PAUSE * 2.0 ** min(probes, MAX_DOUBLINGS))
    return pause * random.uniform(1.0, 1.1)  # noqa: S311


def park(
    connection: sa.Connection,
    did: str,
    kind: Kind,
    now: datetime,
    *,
    error: str,
    run: Lane | None = None,
    tried: int = 0,
) -> None:
    """Park the lane as the PDS's verdict says.

    Only a ready lane changes: the first reason counts. With the lane `run` that met the verdict, neither does a lane
    whose owner has signed in since the claim: then the old login failed. Nor does that of a full account with a delete of a
    newer generation than was `tried`: it is sent next, and makes room.
    """
    given = {**for_account(did, "of_did"), "tried": tried}
    if kind is Kind.FULL and connection.scalar(_HAS_NEWER_DELETE, given):
        return
    state, first_pause = PARKING[kind]
    works = sa.and_(lane.did == did, lane.state == LaneState.READY)
    probes = connection.scalar(sa.select(lane.probes).where(works))
    if probes is None:
        return
    changed: dict[str, Any] = {"state": state, "probe_at": NEVER}
    if first_pause is not None:
        pauses = probes + first_pause
        changed["probe_at"] = now if pauses < 0 else now + probe_pause(pauses)
        changed["probes"] = probes + 1
    ours = lane.lease_owner == run.owner if run is not None else sa.true()
    if connection.execute(sa.update(mirror_lane).where(works, ours).values(changed)).rowcount:
        record_failing(connection, did, now, error)


_HAS_NEWER_DELETE: Final = sa.select(
    sa.exists().where(
        target.did == sa.bindparam("of_did"),
        *(target.desired_op == DELETE, target.desired_gen > sa.bindparam("tried")),
        *(~target.backfill, is_open(), target.failed_gen < target.desired_gen),
    )
)


def clear_probe(connection: sa.Connection, did: str, **columns: Any) -> None:
    """Set columns of a lane whose PDS took a write, and cancel its probe, unless it was parked meanwhile.

    A parked lane goes on failing.
    """
    connection.execute(_CLEAR_PROBE, {**for_account(did, "of_did"), **columns})


_CLEAR_PROBE: Final = (
    sa.update(mirror_lane)
    .where(lane.did == sa.bindparam("of_did"))
    .values(
        {
            name: sa.case(
                (lane.state == LaneState.READY, sa.literal(value, lane[name].type)),
                else_=lane[name],
            )
            for name, value in (PROBE_CLEARED | NO_FAILURES).items()
        }
    )
)
"""Built once (CONTRIBUTING.md)."""


def request_probe(
    connection: sa.Connection,
    did: str,
    at: datetime,
    states: Collection[LaneState] = (LaneState.READY, *PARKED),
) -> None:
    """Probe the account of a lane in one of these states, at that time at the latest."""
    here = (lane.did == did, lane.host != "", lane.state.in_(states), lane.probe_at > at)
    connection.execute(sa.update(mirror_lane).where(*here).values(probe_at=at))


def schedule_overdue_probes(database: Database) -> list[str]:
    """Schedule probes for a page of lanes that are long overdue because their host is down; returns their DIDs."""
    with database.read() as connection:  # usually there are none, and then nothing is written
        now = database.now(connection)
        closed = connection.scalars(_CLOSED, {"now": now}).all()
        late = {"closed": closed, "before": now - PROBE_AFTER_FAILING}
        if not closed or connection.scalar(_OVERDUE.limit(1), late) is None:
            return []
    with database.write() as connection:
        found = list[str]()
        for part in shards(connection):
            found += connection.scalars(_OVERDUE_PAGE.where(in_part(lane.bucket, part)), late)
        connection.execute(_SCHEDULE_PROBES, {"of_dids": found, "probe_at": now})
        return found


# Built once (CONTRIBUTING.md).

_CLOSED: Final = sa.select(host.host).where(
    ~host.paused, host_open_at() > sa.bindparam("now", type_=UtcDateTime)
)
_OVERDUE: Final = sa.select(lane.did).where(
    lane.host.in_(sa.bindparam("closed", expanding=True)),
    HAS_LIVE_WORK,
    lane.probe_at >= NEVER,
    lane_due_at() <= sa.bindparam("before", type_=UtcDateTime),
)
_OVERDUE_PAGE: Final = _OVERDUE.limit(LANES_PER_PAGE).with_for_update(skip_locked=True)
_SCHEDULE_PROBES: Final = sa.update(mirror_lane).where(lane.did.in_(sa.bindparam("of_dids", expanding=True)))
