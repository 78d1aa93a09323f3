"""Releases what ended processes have leased, without waiting for the end of the lease (ADR 36)."""

import logging
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import Database
from outbox.mirror.tables import PAST, WAS_LEASED, lane, mirror_lane

logger = logging.getLogger("mastertape.outbox")

HasEnded = Callable[[str], bool]
"""Whether the owner of leases is proved to have ended."""


def release_of_ended(database: Database, has_ended: HasEnded) -> int:
    """Release the lanes of owners that have ended; returns how many.

    A lane's epoch still fences late results. A row that is locked, perhaps by the last transaction of such a process, is left to
    the next time.
    """
    with database.read_committed() as connection:
        leased = connection.execute(_LEASED).all()
    owners = sorted(owner for owner in {each.lease_owner for each in leased} if has_ended(owner))
    released = sum(_release(database, each) for each in leased if each.lease_owner in owners)
    if released:
        logger.info("leases_released", extra={"owners": owners, "count": released})
    return released


def _release(database: Database, leased: Any) -> bool:
    this = (lane.did == leased.did, lane.lease_owner == leased.lease_owner)
    with database.write() as connection:
        locked = sa.select(lane.did).where(*this).with_for_update(skip_locked=True)
        if connection.scalar(locked) is None:
            return False
        connection.execute(sa.update(mirror_lane).where(*this).values(lease_owner=None, lease_until=PAST))
    return True


_LEASED: Final = sa.select(lane.did, lane.lease_owner).where(WAS_LEASED, lane.lease_owner.is_not(None))
