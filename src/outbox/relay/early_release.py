"""Releases the leases of processes that are proved to have ended, so that after a crash nothing waits for them (ADR 36).

Only the wait ends sooner: a lane's epoch still fences late results, and a delete still waits for an unanswered create.
"""

import logging
from collections.abc import Callable
from typing import Final

from sqlalchemy import bindparam, select, update

from eventstore.database import Database
from eventstore.jobs.queue import release_ended
from outbox.mirror.due import lane_columns
from outbox.mirror.tables import PAST, UPLOAD, mirror_lane, was_leased

logger: Final = logging.getLogger("mastertape.outbox")

HasEnded = Callable[[str], bool]
"""Whether the owner of leases is proved to have ended."""


def release_of_ended(database: Database, has_ended: HasEnded) -> int:
    """Release what ended processes have leased, lanes and uploads; returns how many.

    A row that is locked, perhaps by the last transaction of such a process, is left to the next time.
    """
    with database.read_committed() as connection:
        owners = [owner for owner in connection.scalars(_OWNERS) if has_ended(owner)]
    released = release_ended(database, [UPLOAD], has_ended)
    if owners:
        with database.write() as connection:
            released += connection.execute(_RELEASE, {"owners": owners}).rowcount
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
