"""Releases the leases of processes that are proved to have ended, so that after a crash nothing waits for them (ADR 36).

Only the wait ends sooner: a lane's epoch still fences late results, and a delete still waits for an unanswered create.
"""

import logging
from collections.abc import Callable
from typing import Final

from sqlalchemy import ColumnElement, Table, Update, bindparam, select, tuple_, union, update

from eventstore.database import Database
from outbox.mirror.tables import IS_LEASED, PAST, blob_job, mirror_lane, was_leased

logger: Final = logging.getLogger("mastertape.outbox")

HasEnded = Callable[[str], bool]
"""Whether the owner of leases is proved to have ended."""


def release_of_ended(database: Database, has_ended: HasEnded) -> int:
    """Release what ended processes have leased, lanes and uploads; returns how many.

    A row that is locked, perhaps by the last transaction of such a process, is left to the next time.
    """
    with database.read_committed() as connection:
        owners = [owner for owner in connection.scalars(_OWNERS) if has_ended(owner)]
    if not owners:
        return 0
    with database.write() as connection:
        released = sum(connection.execute(each, {"owners": owners}).rowcount for each in _RELEASES)
    if released:
        logger.info("leases_released", extra={"owners": owners, "count": released})
    return released


# Built once (CONTRIBUTING.md).

_LEASED: Final = ((mirror_lane, was_leased()), (blob_job, IS_LEASED))
_OWNERS: Final = union(
    *(
        select(table.c.lease_owner).where(is_leased, table.c.lease_owner.is_not(None))
        for table, is_leased in _LEASED
    )
)


def _release(table: Table, is_leased: ColumnElement[bool]) -> Update:
    key = tuple_(*table.primary_key.columns)
    theirs = select(*table.primary_key.columns).where(
        is_leased, table.c.lease_owner.in_(bindparam("owners", expanding=True))
    )
    free = key.in_(theirs.with_for_update(skip_locked=True))
    return update(table).where(free).values(lease_owner=None, lease_until=PAST)


_RELEASES: Final = [_release(table, is_leased) for table, is_leased in _LEASED]
