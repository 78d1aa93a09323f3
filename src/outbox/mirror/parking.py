"""Parks lanes that wait for a sign-in or for their account, and schedules the probes of accounts.

The lane of an inactive or missing account becomes ready by itself: `outbox/probes` reads the account's status at
`probe_at`, ever more rarely. Edits are still appended to the log meanwhile.
"""

import random
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.due import host_open_at, is_open, lane_columns, lane_due_at, target_columns
from outbox.mirror.lanes import PROBE_CLEARED, Lane, record_failing
from outbox.mirror.states import PROBED, LaneState
from outbox.mirror.tables import HAS_LIVE_WORK, NEVER, NO_FAILURES, mirror_lane, pds_host
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
    if kind is Kind.FULL and connection.scalar(_HAS_NEWER_DELETE, {"of_did": did, "tried": tried}):
        return
    state, first_pause = PARKING[kind]
    works = sa.and_(lane_columns.did == did, lane_columns.state == LaneState.READY)
    probes = connection.scalar(sa.select(lane_columns.probes).where(works))
    if probes is None:
        return
    changed: dict[str, Any] = {"state": state, "probe_at": NEVER}
    if first_pause is not None:
        pauses = probes + first_pause
        changed["probe_at"] = now if pauses < 0 else now + probe_pause(pauses)
        changed["probes"] = probes + 1
    ours = lane_columns.lease_owner == run.owner if run is not None else sa.true()
    if connection.execute(sa.update(mirror_lane).where(works, ours).values(changed)).rowcount:
        record_failing(connection, did, now, error)


_HAS_NEWER_DELETE: Final = sa.select(
    sa.exists().where(
        target_columns.did == sa.bindparam("of_did"),
        *(target_columns.desired_op == DELETE, target_columns.desired_gen > sa.bindparam("tried")),
        *(~target_columns.backfill, is_open(), target_columns.failed_gen < target_columns.desired_gen),
    )
)


def clear_probe(connection: sa.Connection, did: str, **columns: Any) -> None:
    """Set columns of a lane whose PDS took a write, and cancel its probe, unless it was parked meanwhile.

    A parked lane goes on failing.
    """
    connection.execute(_CLEAR_PROBE, {"of_did": did, **columns})


_CLEAR_PROBE: Final = (
    sa.update(mirror_lane)
    .where(lane_columns.did == sa.bindparam("of_did"))
    .values(
        {
            name: sa.case(
                (lane_columns.state == LaneState.READY, sa.literal(value, lane_columns[name].type)),
                else_=lane_columns[name],
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
    here = sa.and_(
        lane_columns.did == did,
        lane_columns.host != "",
        lane_columns.state.in_(states),
        lane_columns.probe_at > at,
    )
    connection.execute(sa.update(mirror_lane).where(here).values(probe_at=at))


def schedule_overdue_probes(database: Database) -> list[str]:
    """Schedule probes for a page of lanes that are long overdue because their host is down; returns their DIDs."""
    with database.read() as connection:  # usually there are none, and then nothing is written
        now = database.now(connection)
        closed = connection.scalars(_CLOSED, {"now": now}).all()
        late = {"closed": closed, "before": now - PROBE_AFTER_FAILING}
        if not closed or connection.scalar(_OVERDUE.limit(1), late) is None:
            return []
    with database.write() as connection:
        found = list(connection.scalars(_OVERDUE_PAGE, late))
        connection.execute(_SCHEDULE_PROBES, {"of_dids": found, "probe_at": now})
        return found


# Built once (CONTRIBUTING.md).

_CLOSED: Final = sa.select(pds_host.c.host).where(
    ~pds_host.c.paused, host_open_at() > sa.bindparam("now", type_=UtcDateTime)
)
_OVERDUE: Final = sa.select(lane_columns.did).where(
    lane_columns.host.in_(sa.bindparam("closed", expanding=True)),
    HAS_LIVE_WORK,
    lane_columns.probe_at >= NEVER,
    lane_due_at() <= sa.bindparam("before", type_=UtcDateTime),
)
_OVERDUE_PAGE: Final = _OVERDUE.limit(LANES_PER_PAGE).with_for_update(skip_locked=True)
_SCHEDULE_PROBES: Final = sa.update(mirror_lane).where(
    lane_columns.did.in_(sa.bindparam("of_dids", expanding=True))
)
