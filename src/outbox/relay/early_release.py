"""Releases what ended processes have leased, without waiting for the end of the lease (ADR 36)."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import Database
from eventstore.streams.buckets import Part, in_part
from outbox.mirror.tables import PAST, WAS_LEASED, lane, mirror_lane

logger = logging.getLogger("mastertape.outbox")

HasEnded = Callable[[str], bool]
"""Whether the owner of leases is proved to have ended."""


def release_of_ended(database: Database, parts: Iterable[Part], has_ended: HasEnded) -> list[Part]:
    """Release the lanes of these parts whose owners have ended; returns the part of each.

    A lane's epoch still fences late results. A row that is locked, perhaps by the last transaction of such a process, is left to
    the next time.
    """
    with database.read_committed() as connection:
        leased = [
            (each, part)
            for part in parts
            for each in connection.execute(_LEASED.where(in_part(lane.bucket, part)))
        ]
    owners = sorted(owner for owner in {each.lease_owner for each, _ in leased} if has_ended(owner))
    released = [part for each, part in leased if each.lease_owner in owners and _release(database, each)]
    if released:
        logger.info("leases_released", extra={"owners": owners, "count": len(released)})
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
