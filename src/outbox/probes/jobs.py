"""Requests and settles probes. A lane run may go on beside one: what it finds counts only for a lane that has not changed."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.jobs.table import job
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import Part, in_part
from outbox.mirror.hosts import PacedPds
from outbox.mirror.lanes import (
    NO_LIMITS,
    NOTHING_SENT,
    PROBE_CLEARED,
    abandon_uploads,
    change_lane,
    enter_host,
    record_failing,
)
from outbox.mirror.parking import PROBE_AFTER_FAILING, probe_pause
from outbox.mirror.requeue import reverify_account
from outbox.mirror.states import LaneState
from outbox.mirror.tables import NEVER, NO_FAILURES, PAST, lane, mirror_lane, pds_host
from outbox.mirror.targets import queue_uploads
from outbox.pds.client import AccountStatus
from outbox.ports import Directory, DirectoryUnavailableError
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

PROBE: Final = "probe"
MAX_REQUESTED: Final = 1000
GONE_AFTER: Final = timedelta(hours=72)
"""Operations of a did:plc can be undone for so long (https://web.plc.directory/spec/v0.1/did-plc)."""


FOUND_FAILING: Final = {
    AccountStatus.INACTIVE: "account_inactive: a probe found the account not active",
    AccountStatus.MOVED: "auth_required: a probe found the account on another host",
    AccountStatus.ABSENT: "identity_stale: a probe found the account nowhere",
}
"""The error of a lane that a probe finds unable to deliver."""


def due_probes(part: Part) -> Any:
    """Select the lanes of the part whose probe is due.

    A host that may not be sent requests now stops none: directories say where its accounts are.
    """
    known = sa.exists().where(job.c.kind == PROBE, job.c.account == lane.did)
    is_due = (lane.probe_at <= sa.bindparam("now", type_=UtcDateTime), ~lane.paused, ~pds_host.c.paused)
    due = sa.select(lane.did.label("subject"), lane.did.label("account"), lane.host)
    due = due.join(pds_host, pds_host.c.host == lane.host).where(in_part(lane.bucket, part), *is_due, ~known)
    return due.order_by(lane.probe_at, lane.did).limit(MAX_REQUESTED)


def probed_lane(database: Database, did: str) -> Any | None:
    with database.read_committed() as connection:
        is_due = (lane.probe_at <= database.now(connection), ~lane.paused)
        found = sa.select(lane.did, lane.host, lane.state, lane.probe_at)
        return connection.execute(found.where(lane.did == did, *is_due)).one_or_none()


def settle_probe(database: Database, claimed: Job, probe: Any, found: AccountStatus, host: str = "") -> None:
    """Record what the `probe` of a lane as it was then found, and the host of an account that has moved, unless the lane has changed since: a sign-in and a success clear `probe_at`.

    Raises LeaseLostError when another process has claimed the job since.
    """
    with database.write() as connection:
        locked = sa.select(mirror_lane).where(lane.did == probe.did).with_for_update()
        row = connection.execute(locked).one_or_none()
        queue.require_held(connection, claimed)
        if row is None or (row.host, row.state, row.probe_at) != (probe.host, probe.state, probe.probe_at):
            return
        now = database.now(connection)
        change_lane(connection, probe.did, **_changed(row, found, host, now))
        if found is AccountStatus.ACTIVE:
            queue_uploads(connection, probe.did)
        if (error := FOUND_FAILING.get(found)) is not None:
            record_failing(connection, probe.did, now, error)
        if found is AccountStatus.MOVED:
            enter_host(connection, host)
            reverify_account(connection, probe.did, now)  # not all records may have come along
            abandon_uploads(connection, probe.did)


def _changed(row: Any, found: AccountStatus, host: str, now: datetime) -> dict[str, Any]:
    if row.state == LaneState.AUTH_REQUIRED and found in {AccountStatus.ACTIVE, AccountStatus.INACTIVE}:
        return PROBE_CLEARED
    pause = probe_pause(row.probes)
    again: dict[str, Any] = {"probe_at": now + pause, "probes": row.probes + 1, "missing_since": NEVER}
    match found:
        case AccountStatus.ACTIVE:
            # `probes` stays until a write succeeds: a PDS that says active but refuses is probed ever more rarely
            works = {"state": LaneState.READY, "probe_at": NEVER, "missing_since": NEVER, "due_at": now}
            fails = row.failures or row.state == LaneState.FULL  # which a probe cannot see
            return works if fails else {**works, **NO_FAILURES}
        case AccountStatus.INACTIVE:
            return {**again, "state": LaneState.INACTIVE}
        case AccountStatus.MOVED:
            here = {"host": host, "state": LaneState.AUTH_REQUIRED, **PROBE_CLEARED}
            return {**here, **NO_LIMITS, **NOTHING_SENT, "not_before": PAST, "failures": 0}
        case AccountStatus.ABSENT:
            since = now if row.state == LaneState.AUTH_REQUIRED else min(row.missing_since, now)
            is_gone = now - since >= GONE_AFTER
            gone = {"state": LaneState.GONE, "probe_at": NEVER}
            return gone if is_gone else {**again, "state": LaneState.STALE, "missing_since": since}
        case AccountStatus.UNKNOWN:
            works = row.state == LaneState.READY
            later = {"probe_at": now + min(pause, PROBE_AFTER_FAILING), "probes": row.probes + 1}
            return {"probe_at": now + PROBE_AFTER_FAILING} if works else later


MAX_CONCURRENT_PROBES: Final = 8
MAX_CONCURRENT_PROBES_OF_HOST: Final = 2
PROBE_TIMEOUT_SECONDS: Final = 30.0
FIRST_PAUSE_SECONDS: Final = 30.0
MAX_PAUSE_SECONDS: Final = 600.0


@dataclass
class Probes:
    """Holds no transaction, lock or thread while it waits."""

    database: Database
    pds: PacedPds
    directory: Directory

    def kind(self) -> Kind:
        return Kind(
            PROBE,
            self._work,
            max_concurrent=MAX_CONCURRENT_PROBES,
            max_per_host=MAX_CONCURRENT_PROBES_OF_HOST,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            find=due_probes,
        )

    async def _work(self, job: Job) -> Outcome:
        probe = await in_thread(probed_lane, self.database, job.subject)
        if probe is None:
            return Outcome.DONE
        found, host = AccountStatus.UNKNOWN, ""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                found, host = await self._probe(probe)
        except TimeoutError:
            pass
        except Exception:
            logger.exception("probe_failed", extra=job.log_fields)
        await in_thread(settle_probe, self.database, job, probe, found, host)
        logger.info("account_probed", extra={**job.log_fields, "found": found.name.lower()})
        return Outcome.DONE

    async def _probe(self, probe: Any) -> tuple[AccountStatus, str]:
        """Return what is known of the account, and the host that it is on."""
        try:
            host = await self.directory.host_of(probe.did)
        except DirectoryUnavailableError:
            status = await self.pds.account_status(probe.host, probe.did)
            # absent here says little while no directory says where it is
            return AccountStatus.UNKNOWN if status is AccountStatus.ABSENT else status, probe.host
        if host is None:
            return AccountStatus.ABSENT, ""
        status = await self.pds.account_status(host, probe.did)
        has_moved = host != probe.host and status in {AccountStatus.ACTIVE, AccountStatus.INACTIVE}
        return AccountStatus.MOVED if has_moved else status, host
