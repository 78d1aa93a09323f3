"""The rows of the streams: who listens to a host, and how far."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, false, func, or_, select, update

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.lanes import LeaseLostError
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, firehose_cursor, mirror_lane, pds_host
from outbox.mirror.targets import insert_into

row: Final = firehose_cursor.c
lane: Final = mirror_lane.c


def claim_streams(database: Database, *, owner: str, lease: timedelta, limit: int) -> list[str]:
    """Keep the streams that are ours, and take those of hosts that nobody listens to."""
    with database.read() as connection:
        now = database.now(connection)
        wanted = connection.execute(_WANTED, {"owner": owner, "now": now, "room": limit}).all()
    held = [each.host for each in wanted if each.is_ours and each.lease_until > now + lease / 2]
    others = [each.host for each in wanted if each.host not in held]
    if others:
        with database.write() as connection:
            now = database.now(connection)
            held += [host for host in others if _claim(connection, host, owner, now, lease)]
    return held


def _claim(connection: Connection, host: str, owner: str, now: datetime, lease: timedelta) -> bool:
    taken = {"lease_owner": owner, "lease_until": now + lease}
    insert = insert_into(connection, firehose_cursor).values(host=host, **taken)
    free = or_(row.lease_until <= now, row.lease_owner == owner)
    claimed = insert.on_conflict_do_update(index_elements=["host"], set_=taken, where=free)
    return connection.scalar(claimed.returning(row.host)) is not None


def give_back_streams(database: Database, owner: str) -> None:
    """Let others listen at once."""
    with database.write() as connection:
        ours = update(firehose_cursor).where(row.lease_owner == owner)
        connection.execute(ours.values(lease_owner=None, lease_until=PAST))


def dids_at(database: Database, host: str) -> AbstractSet[str]:
    """Return the accounts that are at a host."""
    with database.read() as connection:
        return set(connection.scalars(_DIDS, {"host": host}))


def cursor_of(database: Database, host: str) -> int | None:
    """Return the cursor of a host's stream."""
    with database.read() as connection:
        return connection.scalar(_CURSOR, {"host": host})


def move_cursor(
    database: Database, host: str, owner: str, seq: int | None, heard_at: datetime | None
) -> None:
    """Set it; raises LeaseLostError when somebody else listens by now."""
    with database.write() as connection:
        moved = connection.execute(
            _MOVE, {"of_host": host, "of_owner": owner, "seq": seq, "heard_at": heard_at}
        )
        if moved.rowcount == 0:
            raise LeaseLostError


def forget_cursor(connection: Connection, host: str) -> None:
    """Listen from now on the next time."""
    connection.execute(update(firehose_cursor).where(row.host == host).values(seq=None, heard_at=None))


_IS_OURS: Final = func.coalesce(row.lease_owner == bindparam("owner"), false())
_WANTED: Final = (
    select(lane.host, _IS_OURS.label("is_ours"), row.lease_until)
    .join(pds_host, pds_host.c.host == lane.host)
    .outerjoin(firehose_cursor, row.host == lane.host)
    .where(
        lane.state != LaneState.GONE,
        ~lane.paused,
        ~pds_host.c.paused,
        or_(
            row.host.is_(None),
            row.lease_until <= bindparam("now", type_=UtcDateTime),
            _IS_OURS,
        ),
    )
    .group_by(lane.host, row.lease_owner, row.lease_until)
    .order_by(~_IS_OURS, lane.host)
    .limit(bindparam("room"))
)
"""Ours first."""
_DIDS: Final = select(lane.did).where(lane.host == bindparam("host"), lane.state != LaneState.GONE)
_CURSOR: Final = select(row.seq).where(row.host == bindparam("host"))
_MOVE: Final = update(firehose_cursor).where(
    row.host == bindparam("of_host"), row.lease_owner == bindparam("of_owner")
)
