"""The rows of the streams: which process subscribes to a host, its cursor, and how far behind it is."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from aggregates.states import State
from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.append import take_lease
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, firehose_cursor, lane, pds_host

row: Final = firehose_cursor.c


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


def _claim(connection: sa.Connection, stream: Any, owner: str, now: datetime, lease: timedelta) -> bool:
    holder = {"lease_owner": owner, "lease_until": now + lease}
    is_free = sa.or_(row.lease_until <= now, row.lease_owner == owner)
    is_taken = take_lease(connection, firehose_cursor, {"host": stream.host}, holder, is_free=is_free)
    if is_taken and not stream.is_ours:  # a holder that was killed has not said that it is connected no more
        connection.execute(
            sa.update(firehose_cursor).where(row.host == stream.host).values(connected_at=None)
        )
    return is_taken


def release_streams(database: Database, owner: str) -> None:
    with database.write() as connection:
        these = sa.update(firehose_cursor).where(row.lease_owner == owner)
        connection.execute(these.values(lease_owner=None, lease_until=PAST, connected_at=None))


def accounts_at(database: Database, host: str) -> AbstractSet[str]:
    with database.read() as connection:
        return set(
            connection.scalars(sa.select(lane.did).where(lane.host == host, lane.state != LaneState.GONE))
        )


def followed_hosts(database: Database, limit: int) -> list[str]:
    with database.read() as connection:
        is_followed = sa.and_(row.connected_at.is_not(None), row.lease_until > database.now(connection))
        found = sa.select(row.host).where(is_followed).order_by(row.host).limit(limit)
        return list(connection.scalars(found))


def cursor_of(database: Database, host: str) -> int | None:
    with database.read() as connection:
        return connection.scalar(sa.select(row.seq).where(row.host == host))


def change_stream(database: Database, host: str, owner: str, **values: Any) -> None:
    """Change columns of a stream's row; raises LeaseLostError when another process holds the stream."""
    with database.write() as connection:
        held = sa.update(firehose_cursor).where(row.host == host, row.lease_owner == owner)
        if connection.execute(held.values(values)).rowcount == 0:
            raise LeaseLostError


IS_FOLLOWED: Final = sa.and_(lane.state != LaneState.GONE, ~lane.paused)
"""Whether a lane is a reason to follow the stream of its host."""


def is_followed(connection: sa.Connection, host: str) -> bool:
    has_accounts = sa.exists().where(lane.host == host, IS_FOLLOWED)
    return bool(connection.scalar(sa.select(has_accounts))) and may_be_followed(connection, host)


def may_be_followed(connection: sa.Connection, host: str) -> bool:
    """Return whether operators let the host be followed, which no operator changes before the transaction ends."""
    found = sa.select(pds_host.c.followed).where(pds_host.c.host == host).with_for_update(read=True)
    return connection.scalar(found) is not False


def let_follow(connection: sa.Connection, host: str, *, followed: bool) -> int:
    """Let the host be followed, from its newest message on, or no longer; return for how many hosts that is new."""
    is_new = (pds_host.c.host == host, pds_host.c.followed != followed)
    changed = connection.execute(sa.update(pds_host).where(*is_new).values(followed=followed)).rowcount
    if not followed:  # the process that reads the stream loses its lease
        connection.execute(sa.delete(firehose_cursor).where(row.host == host))
    return changed


_IS_OURS: Final = sa.func.coalesce(row.lease_owner == sa.bindparam("owner"), sa.false())
_CANDIDATES: Final = (
    sa.select(lane.host, _IS_OURS.label("is_ours"), row.lease_until)
    .join(pds_host, pds_host.c.host == lane.host)
    .outerjoin(firehose_cursor, row.host == lane.host)
    .where(
        IS_FOLLOWED,
        ~pds_host.c.paused,
        pds_host.c.followed,
        sa.or_(row.host.is_(None), row.lease_until <= sa.bindparam("now", type_=UtcDateTime), _IS_OURS),
    )
    .group_by(lane.host, row.lease_owner, row.lease_until)
    .order_by(sa.func.count().desc(), ~_IS_OURS, lane.host)
    .limit(sa.bindparam("room"))
)
"""The hosts of the most accounts first, so that many names of one owner do not keep the others out; then ours."""
_HOSTS: Final = sa.select(lane.host).where(IS_FOLLOWED).distinct().subquery()
_STREAMS: Final = _HOSTS.join(
    pds_host, sa.and_(pds_host.c.host == _HOSTS.c.host, ~pds_host.c.paused, pds_host.c.followed)
).outerjoin(firehose_cursor, row.host == _HOSTS.c.host)
"""Those that are to be followed, whether or not any process ever did."""
_SHOWN: Final = (
    _HOSTS.c.host,
    row.connected_at,
    row.heard_at,
    row.lag_seconds,
    row.problem,
    row.lease_owner.label("holder"),
)


class StreamState(State):
    """States of a host's stream."""

    FOLLOWED = "followed", "a process is connected and reads it"
    DISCONNECTED = "disconnected", "a process holds it and is not connected; it tries again by itself"
    UNFOLLOWED = "unfollowed", "no process holds it"


@dataclass(frozen=True)
class Streams:
    """How many streams are in which state; the newest message of any; the worst delay of a followed one; and some rows."""

    by_state: Mapping[str, int]
    heard_at: datetime | None
    lag_seconds: float | None
    rows: Sequence[sa.RowMapping]
    """With their `state`: first those that are not followed, then those that are behind."""


def streams(connection: sa.Connection, now: datetime, *, limit: int) -> Streams:
    """Read the rows of all hosts; of accounts, only where they are."""
    state = sa.case(
        (sa.func.coalesce(row.lease_until <= now, sa.true()), StreamState.UNFOLLOWED.value),
        (row.connected_at.is_(None), StreamState.DISCONNECTED.value),
        else_=StreamState.FOLLOWED.value,
    ).label("state")
    rank = sa.case((state == StreamState.FOLLOWED.value, 1), else_=0)
    in_trouble_first = (rank, row.lag_seconds.desc().nulls_last(), _HOSTS.c.host)
    of_hosts = sa.select(*_SHOWN, state).select_from(_STREAMS).order_by(*in_trouble_first).limit(limit)
    in_all = sa.select(
        state,
        sa.func.count().label("hosts"),
        sa.func.max(row.heard_at).label("heard_at"),
        sa.func.max(row.lag_seconds).label("lag_seconds"),
    )
    groups = {each.state: each for each in connection.execute(in_all.select_from(_STREAMS).group_by(state))}
    followed = groups.get(StreamState.FOLLOWED)
    return Streams(
        by_state={name: each.hosts for name, each in groups.items()},
        heard_at=max((each.heard_at for each in groups.values() if each.heard_at is not None), default=None),
        lag_seconds=followed.lag_seconds if followed is not None else None,
        rows=connection.execute(of_hosts).mappings().all(),
    )
