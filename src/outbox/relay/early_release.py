"""Releases what ended processes have leased, without waiting for the end of the lease (ADR 36)."""

import logging
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from eventstore.database import Database
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
        owners = [owner for owner in connection.scalars(_OWNERS) if has_ended(owner)]
    released = 0
    if owners:
        with database.write() as connection:
            released = connection.execute(_RELEASE, {"owners": owners}).rowcount
    if released:
        logger.info("leases_released", extra={"owners": owners, "count": released})
    return released


_OWNERS: Final = sa.select(lane.lease_owner).where(WAS_LEASED, lane.lease_owner.is_not(None)).distinct()
_THEIRS: Final = sa.select(lane.did).where(
    WAS_LEASED, lane.lease_owner.in_(sa.bindparam("owners", expanding=True))
)
_RELEASE: Final = (
    sa.update(mirror_lane)
    .where(lane.did.in_(_THEIRS.with_for_update(skip_locked=True)))
    .values(lease_owner=None, lease_until=PAST)
)
