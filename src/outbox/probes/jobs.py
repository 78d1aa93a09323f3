"""Claims and settles probes. A probe leases its lane as a lane run does, and counts against its host's share."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy import Connection, and_, func, select

from eventstore.database import Database
from outbox.mirror.due import lane_columns
from outbox.mirror.lanes import (
    NO_LIMITS,
    PROBE_CLEARED,
    Lane,
    abandon_uploads,
    change_lane,
    lock_lane,
    record_failing,
)
from outbox.mirror.parking import PROBE_AFTER_FAILING, probe_pause
from outbox.mirror.requeue import reverify_account
from outbox.mirror.states import LaneState
from outbox.mirror.tables import NEVER, NO_FAILURES, PAST, mirror_lane, pds_host
from outbox.mirror.targets import insert_into

GONE_AFTER: Final = timedelta(hours=72)
"""Operations of a did:plc can be undone for so long (https://web.plc.directory/spec/v0.1/did-plc)."""


@dataclass(frozen=True)
class Probe:
    """A lane claimed to probe its account, and the state that it was in."""

    lane: Lane
    state: str


class AccountLocation(Enum):
    """Where an account was found."""

    ACTIVE = "where it was, at work"
    INACTIVE = "where it was, not at work"
    MOVED = "elsewhere"
    MISSING = "nowhere"
    UNKNOWN = "no directory or host said"


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found; for an account on another host, its origin and whether our records are there."""

    finding: AccountLocation
    host: str = ""
    has_records: bool = True


FOUND_FAILING: Final = {
    AccountLocation.INACTIVE: "account_inactive: a probe found the account not active",
    AccountLocation.MOVED: "auth_required: a probe found the account on another host",
    AccountLocation.MISSING: "identity_stale: a probe found the account nowhere",
}
"""The error of a lane that a probe finds unable to deliver."""
_STILL_NEEDS_SIGN_IN: Final = frozenset({AccountLocation.ACTIVE, AccountLocation.INACTIVE})


def claim_probes(database: Database, *, owner: str, limit: int, lease: timedelta) -> list[Probe]:
    """Claim up to `limit` due probes, the longest due first, within the hosts' shares.

    A host that may not be sent requests now stops none: directories say where its accounts are.
    """
    with database.read_committed() as connection:  # an idle relay writes nothing
        due = select(lane_columns.host).where(_due(database.now(connection))).group_by(lane_columns.host)
        hosts = connection.scalars(due.order_by(func.min(lane_columns.probe_at), lane_columns.host)).all()
    if not hosts:
        return []
    probes: list[Probe] = []
    with database.write() as connection:
        for host in hosts:
            if len(probes) >= limit:  # the rest is left to other processes
                break
            # leases are counted in a statement of its own, under a lock on their host
            locked = select(pds_host).where(pds_host.c.host == host, ~pds_host.c.paused)
            row = connection.execute(locked.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                continue
            now = database.now(connection)
            lanes = _next_of_host(connection, row, now, limit - len(probes))
            probes += [_claim(connection, lane, owner, now + lease) for lane in lanes]
    return probes


def _due(now: datetime) -> Any:
    return and_(lane_columns.probe_at <= now, lane_columns.lease_until <= now, ~lane_columns.paused)


def _next_of_host(connection: Connection, host: Any, now: datetime, limit: int) -> list[Any]:
    of_host = lane_columns.host == host.host
    busy = select(func.count()).select_from(mirror_lane).where(of_host, lane_columns.lease_until > now)
    room = min(host.max_lanes - (connection.scalar(busy) or 0), limit)
    if room <= 0:
        return []
    return list(
        connection.execute(
            select(mirror_lane)
            .where(of_host, _due(now))
            .order_by(lane_columns.probe_at, lane_columns.did)
            .limit(room)
            .with_for_update(skip_locked=True)
        )
    )


def _claim(connection: Connection, row: Any, owner: str, until: datetime) -> Probe:
    epoch = row.lease_epoch + 1
    held = {"lease_owner": owner, "lease_until": until, "lease_epoch": epoch}
    change_lane(connection, row.did, **held, is_backfill=False)
    return Probe(Lane(row.did, row.host, owner, epoch, until), row.state)


def settle_probe(database: Database, probe: Probe, found: ProbeResult) -> None:
    """Record what the probe found, unless the lane's state has changed since the claim, and release the lane.

    Raises LeaseLostError when another process has claimed it since.
    """
    lane = probe.lane
    with database.write() as connection:
        now = lock_lane(database, connection, lane).now
        row = connection.execute(select(mirror_lane).where(lane_columns.did == lane.did)).one()
        if (row.lease_owner, row.state) == (lane.owner, probe.state):
            change_lane(connection, lane.did, **_changed(row, found, now))
            if (error := FOUND_FAILING.get(found.finding)) is not None:
                record_failing(connection, lane.did, now, error)
            if found.finding is AccountLocation.MOVED:
                _move_to_host(connection, lane.did, found, now)
        change_lane(connection, lane.did, lease_owner=None, lease_until=PAST)


def _changed(row: Any, found: ProbeResult, now: datetime) -> dict[str, Any]:
    if row.state == LaneState.AUTH_REQUIRED and found.finding in _STILL_NEEDS_SIGN_IN:
        return PROBE_CLEARED
    pause = probe_pause(row.probes)
    again: dict[str, Any] = {"probe_at": now + pause, "probes": row.probes + 1, "missing_since": NEVER}
    match found.finding:
        case AccountLocation.ACTIVE:
            # `probes` stays until a write succeeds: a PDS that says active but refuses is probed ever more rarely
            works = {"state": LaneState.READY, "probe_at": NEVER, "missing_since": NEVER, "due_at": now}
            fails = row.failures or row.state == LaneState.FULL  # which a probe cannot see
            return works if fails else {**works, **NO_FAILURES}
        case AccountLocation.INACTIVE:
            return {**again, "state": LaneState.INACTIVE}
        case AccountLocation.MOVED:
            here = {"host": found.host, "state": LaneState.AUTH_REQUIRED, **PROBE_CLEARED}
            return {**here, **NO_LIMITS, "not_before": PAST, "failures": 0, "last_success_at": None}
        case AccountLocation.MISSING:
            since = now if row.state == LaneState.AUTH_REQUIRED else min(row.missing_since, now)
            is_gone = now - since >= GONE_AFTER
            gone = {"state": LaneState.GONE, "probe_at": NEVER}
            return gone if is_gone else {**again, "state": LaneState.STALE, "missing_since": since}
        case AccountLocation.UNKNOWN:
            works = row.state == LaneState.READY
            later = {"probe_at": now + min(pause, PROBE_AFTER_FAILING), "probes": row.probes + 1}
            return {"probe_at": now + PROBE_AFTER_FAILING} if works else later


def _move_to_host(connection: Connection, did: str, found: ProbeResult, now: datetime) -> None:
    """Add the host; records that may be missing there are verified once the owner has signed in."""
    known_host = insert_into(connection, pds_host).values(host=found.host)
    connection.execute(known_host.on_conflict_do_nothing())
    if not found.has_records:
        reverify_account(connection, did, now)
    abandon_uploads(connection, did)
