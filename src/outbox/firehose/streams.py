"""The streams of all hosts, by all processes: who follows them, and how far behind each is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, RowMapping, and_, case, func, select, true

from eventstore.states import State
from outbox.firehose.cursors import IS_FOLLOWED
from outbox.mirror.tables import firehose_cursor, mirror_lane, pds_host

row: Final = firehose_cursor.c
_HOSTS: Final = select(mirror_lane.c.host).where(IS_FOLLOWED).distinct().subquery()
_STREAMS: Final = _HOSTS.join(pds_host, and_(pds_host.c.host == _HOSTS.c.host, ~pds_host.c.paused)).outerjoin(
    firehose_cursor, row.host == _HOSTS.c.host
)
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
    rows: Sequence[RowMapping]
    """With their `state`: first those that are not followed, then those that are behind."""


def streams(connection: Connection, now: datetime, *, limit: int) -> Streams:
    """Read the rows of all hosts; of accounts, only where they are."""
    state = case(
        (func.coalesce(row.lease_until <= now, true()), StreamState.UNFOLLOWED.value),
        (row.connected_at.is_(None), StreamState.DISCONNECTED.value),
        else_=StreamState.FOLLOWED.value,
    ).label("state")
    rank = case((state == StreamState.FOLLOWED.value, 1), else_=0)
    in_trouble_first = (rank, row.lag_seconds.desc().nulls_last(), _HOSTS.c.host)
    of_hosts = select(*_SHOWN, state).select_from(_STREAMS).order_by(*in_trouble_first).limit(limit)
    in_all = select(
        state,
        func.count().label("hosts"),
        func.max(row.heard_at).label("heard_at"),
        func.max(row.lag_seconds).label("lag_seconds"),
    )
    groups = {each.state: each for each in connection.execute(in_all.select_from(_STREAMS).group_by(state))}
    followed = groups.get(StreamState.FOLLOWED)
    return Streams(
        by_state={name: each.hosts for name, each in groups.items()},
        heard_at=max((each.heard_at for each in groups.values() if each.heard_at is not None), default=None),
        lag_seconds=followed.lag_seconds if followed is not None else None,
        rows=connection.execute(of_hosts).mappings().all(),
    )
