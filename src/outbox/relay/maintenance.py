"""What a relay does beside its claims: releases what ended processes have leased, wakes stuck lanes, schedules overdue probes.

The last two run once a minute, a page at a time, so that no delivery waits for them. Every ordinary change wakes its lane
in its own transaction: a repair of targets or manual SQL can leave open targets without a due time behind.

Only the wait for a lease ends sooner (ADR 36): a lane's epoch still fences late results, and a delete still waits for an
unanswered create.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    exists,
    or_,
    select,
    update,
)

from eventstore.database import Database
from outbox.mirror.due import is_backfill, is_open, lane_columns, target_columns, target_due_at
from outbox.mirror.lanes import LANES_PER_PAGE, change_lane
from outbox.mirror.parking import schedule_overdue_probes
from outbox.mirror.states import TargetState
from outbox.mirror.tables import (
    CONCERNS_RELAY,
    IS_UPLOAD_OF_TARGET,
    NEVER,
    PAST,
    blob_job,
    mirror_lane,
    mirror_target,
    was_leased,
)
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

INTERVAL_SECONDS: Final = 60.0
FULL_PAGE_INTERVAL_SECONDS: Final = 1.0
"""After a full page, as there may be more."""
LANES_PER_LOOK: Final = 10_000
"""So many are looked at in a pass, the next ones in the next: with very many accounts, a pass costs no more."""
LAST_DID: Final = "did:~"
"""Sorts behind every DID."""


class Maintenance:
    """Runs once a minute; `on_done` is called after each pass, since there may be work to claim."""

    def __init__(self, database: Database, on_done: Callable[[], object]) -> None:
        self._database = database
        self._on_done = on_done
        self._due_at = 0.0
        self._looked_up_to = ""
        self._pass: asyncio.Task[None] | None = None

    def start_if_due(self) -> None:
        """Start a pass, unless one is in progress or it is not yet time."""
        if self._pass is None and asyncio.get_running_loop().time() >= self._due_at:
            self._pass = asyncio.create_task(self._run())
            self._pass.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Wait for the pass in progress."""
        if self._pass is not None:
            await asyncio.wait({self._pass})

    async def run_page(self) -> bool:
        """Process one page of each kind; returns whether there may be more."""
        found = [await self._page(job) for job in (self._wake_stuck_lanes, schedule_overdue_probes)]
        return max(map(len, found)) > LANES_PER_PAGE // 2  # others may hold some lanes of a full page

    async def _run(self) -> None:
        pause = FULL_PAGE_INTERVAL_SECONDS if await self.run_page() else INTERVAL_SECONDS
        self._due_at = asyncio.get_running_loop().time() + pause

    async def _page(self, job: Callable[[Database], Sequence[str]]) -> Sequence[str]:
        try:
            return await in_thread(job, self._database)
        except Exception:
            logger.exception("safety_net_failed")  # the next pass tries again
            return []

    def _wake_stuck_lanes(self, database: Database) -> list[str]:
        with database.read_committed() as connection:
            end = connection.scalar(_END_OF_LOOK, {"after": self._looked_up_to})
        woken = wake_stuck_lanes(database, after=self._looked_up_to, until=end or LAST_DID)
        if len(woken) < LANES_PER_PAGE:
            self._looked_up_to = end or ""
        return woken

    def _ended(self, _pass: "asyncio.Task[None]") -> None:
        self._pass = None
        self._on_done()


successor: Final = mirror_target.alias("successor").c


def wake_stuck_lanes(database: Database, *, after: str = "", until: str = LAST_DID) -> list[str]:
    """Make a page of those of these lanes due that have an open target and no due time; returns their DIDs."""
    with database.read() as connection:
        asleep = connection.scalars(_PAGE_OF_ASLEEP, {"after": after, "until": until}).all()
    woken = []
    for did in asleep:
        with database.write() as connection:
            if connection.scalar(_LOCK_IF_ASLEEP, {"lane": did}) is None:
                continue
            this = update(mirror_target).where(target_columns.did == did)
            sendable = {"state": TargetState.IDLE, "reason": None, "not_before": PAST}
            connection.execute(this.where(_waits_for_no_upload()).values(sendable))
            connection.execute(this.where(_is_uncleared()).values(cleared_gen=target_columns.desired_gen))
            change_lane(connection, did, due_at=database.now(connection))
        woken.append(did)
    return woken


def _waits(which: ColumnElement[bool]) -> ColumnElement[bool]:
    due = or_(target_due_at() < NEVER, and_(is_open(), _waits_for_no_upload()), _is_uncleared())
    return exists().where(target_columns.did == lane_columns.did, CONCERNS_RELAY, which, due)


def _waits_for_no_upload() -> ColumnElement[bool]:
    """Whether the target waits for a blob that no upload is requested for."""
    requested = exists().where(IS_UPLOAD_OF_TARGET, or_(blob_job.c.requested, blob_job.c.again))
    return and_(target_columns.state == TargetState.BLOB, ~requested)


def _is_uncleared() -> ColumnElement[bool]:
    """Whether it is a former copy that was not cleared, although the new record is acknowledged."""
    is_acked = (  # a scalar: for an EXISTS, PostgreSQL would read every target
        select(successor.acked_gen >= successor.desired_gen)
        .where(
            successor.subject_id == target_columns.subject_id,
            successor.kind == target_columns.kind,
            ~successor.former,
        )
        .scalar_subquery()
    )
    return and_(target_columns.former, target_columns.cleared_gen < target_columns.desired_gen, is_acked)


# Built once (CONTRIBUTING.md).

_ASLEEP: Final = select(lane_columns.did).where(
    or_(
        and_(lane_columns.due_at >= NEVER, _waits(~is_backfill())),
        and_(lane_columns.backfill_at >= NEVER, _waits(is_backfill())),
    )
)
_AFTER: Final = lane_columns.did > bindparam("after")
_PAGE_OF_ASLEEP: Final = _ASLEEP.where(_AFTER, lane_columns.did <= bindparam("until")).limit(LANES_PER_PAGE)
_END_OF_LOOK: Final = (
    select(lane_columns.did).where(_AFTER).order_by(lane_columns.did).offset(LANES_PER_LOOK - 1).limit(1)
)
_LOCK_IF_ASLEEP: Final = _ASLEEP.where(lane_columns.did == bindparam("lane")).with_for_update(
    of=mirror_lane, skip_locked=True
)


HasEnded = Callable[[str], bool]
"""Whether the owner of leases is proved to have ended."""


def release_of_ended(database: Database, has_ended: HasEnded) -> int:
    """Release what ended processes have leased; returns how many.

    A row that is locked, perhaps by the last transaction of such a process, is left to the next time.
    """
    with database.read_committed() as connection:
        owners = [owner for owner in connection.scalars(_OWNERS) if has_ended(owner)]
    released = 0
    if owners:
        with database.write() as connection:
            released = connection.execute(_RELEASE, {"owners": owners}).rowcount
    if released:
        logger.info("leases_released", extra={"owners": owners, "count": released})
    return released


# Built once (CONTRIBUTING.md).

_OWNERS: Final = (
    select(lane_columns.lease_owner).where(was_leased(), lane_columns.lease_owner.is_not(None)).distinct()
)
_THEIRS: Final = select(lane_columns.did).where(
    was_leased(), lane_columns.lease_owner.in_(bindparam("owners", expanding=True))
)
_RELEASE: Final = (
    update(mirror_lane)
    .where(lane_columns.did.in_(_THEIRS.with_for_update(skip_locked=True)))
    .values(lease_owner=None, lease_until=PAST)
)
