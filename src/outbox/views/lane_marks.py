"""Tells by the rows of lane and host whether the mirror of an account's records may have changed.

Each delivery begins and ends with a change of its lane, whatever it changes in its target.
"""

from collections.abc import Collection, Hashable
from typing import Final

from sqlalchemy import Connection, select

from eventstore.untrusted import is_storable
from outbox.mirror.tables import mirror_lane, pds_host

_MARKS: Final = select(mirror_lane, pds_host.c.paused, pds_host.c.breaker).outerjoin(
    pds_host, pds_host.c.host == mirror_lane.c.host
)


def lane_marks(connection: Connection, dids: Collection[str]) -> dict[str, Hashable]:
    """Return a mark of each account that has a lane; another mark is a hint to read the mirror again."""
    these = [did for did in dids if is_storable(did)]
    if not these:
        return {}
    rows = connection.execute(_MARKS.where(mirror_lane.c.did.in_(these)))
    return {row.did: tuple(row) for row in rows}
