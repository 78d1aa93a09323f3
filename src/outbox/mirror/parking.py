"""Parking: what makes a lane wait for its owner or its account, and when its account is looked at again.

A lane that waits for its account leaves by itself: at `probe_at` probes.py looks at the account, the more rarely the
more often it was found away. Edits go on to gather in the log meanwhile.
"""

import random
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, case, literal, select, true, update

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.lanes import PAGE, PROBE_CLEARED, Lane, host_open_at, lane_columns, lane_due_at
from outbox.mirror.states import PROBED, LaneState
from outbox.mirror.tables import HAS_WORK, NEVER, mirror_lane, pds_host
from outbox.pds.verdict import Kind

PARKING: Final = {
    Kind.SIGN_IN: LaneState.AUTH_REQUIRED,
    Kind.INACTIVE: LaneState.INACTIVE,
    Kind.MOVED: LaneState.STALE,
}

FIRST_PROBE: Final = timedelta(minutes=15)
LONGEST_PAUSE: Final = timedelta(hours=24)
IN_DOUBT_AFTER: Final = timedelta(hours=1)
"""The account of a lane that has got nothing done for so long may be elsewhere, or away."""
MAX_DOUBLINGS: Final = 10


def pause_before(probes: int) -> timedelta:
    """The time to the next look after so many, a little more by chance, so that a crowd spreads out."""
    pause = min(LONGEST_PAUSE, FIRST_PROBE * 2.0 ** min(probes, MAX_DOUBLINGS))
    return pause * random.uniform(1.0, 1.1)  # noqa: S311


def park(connection: Connection, did: str, kind: Kind, now: datetime, *, flight: Lane | None = None) -> None:
    """Let the lane wait for what the PDS said.

    Nothing changes unless it works: what parked it first counts. With a `flight` neither does it when the owner has
    signed in since that was claimed: then it was the old login that failed.
    """
    state = PARKING[kind]
    works = and_(lane_columns.did == did, lane_columns.state == LaneState.READY)
    probes = connection.scalar(select(lane_columns.probes).where(works))
    if probes is None:
        return
    changed: dict[str, Any] = {"state": state, "probe_at": NEVER}
    if state in PROBED:
        # a directory is asked at once the first time, since it may know where the account has moved
        again = probes if state is LaneState.INACTIVE else probes - 1
        changed["probe_at"] = now if again < 0 else now + pause_before(again)
        changed["probes"] = probes + 1
    ours = lane_columns.lease_owner == flight.owner if flight is not None else true()
    connection.execute(update(mirror_lane).where(works, ours).values(changed))


def schedule_probe(connection: Connection, did: str, now: datetime) -> None:
    """Note that something was tried in vain: when nothing succeeds for long, the account is looked at."""
    here = and_(lane_columns.did == did, lane_columns.probe_at >= NEVER)
    connection.execute(update(mirror_lane).where(here).values(probe_at=now + IN_DOUBT_AFTER))


def clear_probe(connection: Connection, did: str, **columns: Any) -> None:
    """Set columns of a lane whose PDS took a write: nothing is in doubt, unless somebody parked it meanwhile."""
    connection.execute(_NO_DOUBT, {"of_did": did, **columns})


_NO_DOUBT: Final = (
    update(mirror_lane)
    .where(lane_columns.did == bindparam("of_did"))
    .values(
        {
            name: case((lane_columns.state == LaneState.READY, literal(value)), else_=lane_columns[name])
            for name, value in PROBE_CLEARED.items()
        }
    )
)
"""Built once (CONTRIBUTING.md)."""


def probe_now(connection: Connection, did: str, now: datetime, *, operator: bool = False) -> None:
    """Have the account of a lane that waits for it looked at; one that is gone only an operator gives another try."""
    states = (*PROBED, LaneState.GONE) if operator else PROBED
    waits = and_(lane_columns.did == did, lane_columns.state.in_(states))
    given_up = lane_columns.state == LaneState.GONE
    connection.execute(
        update(mirror_lane)
        .where(waits)
        .values(
            state=case((given_up, LaneState.STALE.value), else_=lane_columns.state),
            missing_since=case((given_up, NEVER), else_=lane_columns.missing_since),
            probe_at=now,
        )
    )


def look_for_account(connection: Connection, did: str, now: datetime) -> None:
    """Have the account of a lane that works, or waits for it, looked at: somebody says that it is not as it was."""
    here = and_(
        lane_columns.did == did,
        lane_columns.state.in_((LaneState.READY, *PROBED)),
        lane_columns.probe_at > now,
    )
    connection.execute(update(mirror_lane).where(here).values(probe_at=now))


def look_for_unanswered(database: Database) -> list[str]:
    """Have a page of accounts looked for whose lanes have long been due at a host that nobody may ask now; say which."""
    with database.read() as connection:  # where there are none, nothing is written
        now = database.now(connection)
        times = {"now": now, "before": now - IN_DOUBT_AFTER}
        if connection.scalar(_UNANSWERED.limit(1), times) is None:
            return []
    with database.write() as connection:
        found = list(connection.scalars(_UNANSWERED_PAGE, times))
        connection.execute(_LOOK_FOR, {"of_dids": found, "probe_at": now})
        return found


# Built once (CONTRIBUTING.md).

_IS_AT_WORK: Final = and_(lane_columns.state == LaneState.READY, lane_columns.probe_at >= NEVER)
_UNANSWERED: Final = (
    select(lane_columns.did)
    .join(pds_host, pds_host.c.host == lane_columns.host)
    .where(_IS_AT_WORK, ~lane_columns.paused, ~pds_host.c.paused)
    .where(
        HAS_WORK,
        lane_due_at() <= bindparam("before", type_=UtcDateTime),
        host_open_at() > bindparam("now", type_=UtcDateTime),
    )
)
_UNANSWERED_PAGE: Final = _UNANSWERED.limit(PAGE).with_for_update(of=mirror_lane, skip_locked=True)
_LOOK_FOR: Final = update(mirror_lane).where(lane_columns.did.in_(bindparam("of_dids", expanding=True)))
