"""The rows of the streams: which process subscribes to a host, and its cursor."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, false, func, or_, select, update

from eventstore.coordination.leases import take_lease
from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.lanes import LeaseLostError
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, firehose_cursor, mirror_lane, pds_host

row: Final = firehose_cursor.c
lane: Final = mirror_lane.c


def claim_streams(database: Database, *, owner: str, lease: timedelta, limit: int) -> list[str]:
    """Extend the leases of this process's streams and claim free ones; returns the hosts, `limit` at most."""
    with database.read() as connection:
        now = database.now(connection)
        candidates = connection.execute(_CANDIDATES, {"owner": owner, "now": now, "room": limit}).all()
    ours = [each.host for each in candidates if each.is_ours and each.lease_until > now + lease / 2]
    others = [each for each in candidates if each.host not in ours]
    if others:
        with database.write() as connection:
            now = database.now(connection)
            ours += [each.host for each in others if _claim(connection, each, owner, now, lease)]
    return ours


def _claim(connection: Connection, stream: Any, owner: str, now: datetime, lease: timedelta) -> bool:
    holder = {"lease_owner": owner, "lease_until": now + lease}
    is_free = or_(row.lease_until <= now, row.lease_owner == owner)
    is_taken = take_lease(connection, firehose_cursor, {"host": stream.host}, holder, is_free=is_free)
    if is_taken and not stream.is_ours:  # a holder that was killed has not said that it is connected no more
        connection.execute(update(firehose_cursor).where(row.host == stream.host).values(connected_at=None))
    return is_taken


def release_streams(database: Database, owner: str) -> None:
    """Free this process's streams at once."""
    with database.write() as connection:
        these = update(firehose_cursor).where(row.lease_owner == owner)
        connection.execute(these.values(lease_owner=None, lease_until=PAST, connected_at=None))


def dids_at(database: Database, host: str) -> AbstractSet[str]:
    with database.read() as connection:
        return set(connection.scalars(_DIDS, {"host": host}))


def cursor_of(database: Database, host: str) -> int | None:
    with database.read() as connection:
        return connection.scalar(_CURSOR, {"host": host})


def store_cursor(
    database: Database,
    host: str,
    owner: str,
    *,
    seq: int | None,
    heard_at: datetime | None,
    lag_seconds: float,
) -> None:
    """Store the cursor; raises LeaseLostError when another process holds the stream."""
    with database.write() as connection:
        position = {"seq": seq, "heard_at": heard_at, "lag_seconds": lag_seconds}
        moved = connection.execute(_MOVE, {"of_host": host, "of_owner": owner, **position})
        if moved.rowcount == 0:
            raise LeaseLostError


def record_connected(database: Database, host: str, owner: str) -> None:
    with database.write() as connection:
        values = {"connected_at": database.now(connection), "problem": None}
        connection.execute(update(firehose_cursor).where(*_held(host, owner)).values(values))


def record_disconnected(database: Database, host: str, owner: str, problem: str) -> None:
    with database.write() as connection:
        values = {"connected_at": None, "problem": problem}
        connection.execute(update(firehose_cursor).where(*_held(host, owner)).values(values))


def _held(host: str, owner: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return row.host == host, row.lease_owner == owner


def reset_cursor(connection: Connection, host: str) -> None:
    """Forget the cursor: the next subscription begins at the newest message."""
    connection.execute(update(firehose_cursor).where(row.host == host).values(seq=None, heard_at=None))


IS_FOLLOWED: Final = and_(lane.state != LaneState.GONE, ~lane.paused)
"""Whether a lane is a reason to follow the stream of its host."""
_IS_OURS: Final = func.coalesce(row.lease_owner == bindparam("owner"), false())
_CANDIDATES: Final = (
    select(lane.host, _IS_OURS.label("is_ours"), row.lease_until)
    .join(pds_host, pds_host.c.host == lane.host)
    .outerjoin(firehose_cursor, row.host == lane.host)
    .where(
        IS_FOLLOWED,
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
