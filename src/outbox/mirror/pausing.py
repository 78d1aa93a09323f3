"""An operator pauses and resumes one account or a whole host. A lane run in flight ends after its current record."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from eventstore.sql.database import count_rows
from outbox.mirror.due import latest_of
from outbox.mirror.lanes import lock_host, lock_lanes
from outbox.mirror.states import TargetState
from outbox.mirror.tables import (
    HAS_WORK,
    NEVER,
    PAST,
    PAST_LITERAL,
    host,
    lane,
    mirror_lane,
    mirror_target,
    pds_host,
    target,
)
from outbox.mirror.targets import queue_uploads

_host_is_paused: Final = sa.func.coalesce(host.paused, sa.false())


def pause(connection: sa.Connection, did_or_host: str) -> int:
    """Pause an account, or all of a host; returns how many accounts were not paused."""
    return _set(connection, did_or_host, paused=True)


def resume(connection: sa.Connection, did_or_host: str, now: datetime) -> int:
    """Resume an account, or a host, and make due what waits there, as `retry` does; returns how many accounts were paused.

    A host is trusted again, whatever it has acknowledged that was not there.
    """
    _make_due(connection, did_or_host, now)
    if _is_did(did_or_host):
        queue_uploads(connection, did_or_host)
    connection.execute(sa.update(pds_host).where(host.host == did_or_host).values(refuted_writes=0))
    return _set(connection, did_or_host, paused=False)


def retry(connection: sa.Connection, did_or_host: str, now: datetime) -> int:
    """Make due what waits for an account, or at a host; returns for how many accounts. What is paused stays so.

    The pause after a failure does not delay it, nor, for a host, its open breaker: the operator knows that the PDS answers again.
    """
    retried = would_retry(connection, did_or_host, now)
    _make_due(connection, did_or_host, now)
    return retried


def _make_due(connection: sa.Connection, did_or_host: str, now: datetime) -> None:
    """End the waits of lanes, of records that failed, and of the host. Lanes are locked in the order of their DIDs."""
    lanes = sa.select(lane.did).where(_whose(did_or_host))
    lock_lanes(connection, _whose(did_or_host))
    waits = {
        column.name: sa.case((sa.and_(column > now, column < NEVER), now), else_=column)
        for column in (lane.due_at, lane.backfill_at)
    }
    connection.execute(sa.update(mirror_lane).where(_whose(did_or_host)).values(not_before=PAST, **waits))
    failed = (target.did.in_(lanes), target.state == TargetState.BACKOFF)
    connection.execute(sa.update(mirror_target).where(*failed).values(not_before=PAST))
    if not _is_did(did_or_host):
        lock_host(connection, did_or_host)
        retry_at = sa.case((host.retry_at > now, now), else_=host.retry_at)
        connection.execute(sa.update(pds_host).where(host.host == did_or_host).values(retry_at=retry_at))


def would_pause(connection: sa.Connection, did_or_host: str) -> int:
    return _count(connection, did_or_host, ~_paused(did_or_host))


def would_resume(connection: sa.Connection, did_or_host: str) -> int:
    return _count(connection, did_or_host, _paused(did_or_host))


def sent_at_once(connection: sa.Connection, did_or_host: str, now: datetime) -> int:
    """Return for how many accounts `resume` sends at once what waits, whether or not they were paused."""
    goes_on = ~_host_is_paused if _is_did(did_or_host) else ~lane.paused
    return _count(connection, did_or_host, sa.and_(HAS_WORK, goes_on, ~_is_paced(now)))


def would_retry(connection: sa.Connection, did_or_host: str, now: datetime) -> int:
    waits = [lane.paused, _host_is_paused, _is_paced(now)]
    if _is_did(did_or_host):
        waits.append(sa.func.coalesce(host.retry_at, PAST_LITERAL) > now)
    return _count(connection, did_or_host, sa.and_(HAS_WORK, ~sa.or_(*waits)))


def _is_paced(now: datetime) -> sa.ColumnElement[bool]:
    return latest_of(lane.paced_until, sa.func.coalesce(host.paced_until, PAST_LITERAL)) > now


def _set(connection: sa.Connection, did_or_host: str, *, paused: bool) -> int:
    changed = _count(connection, did_or_host, _paused(did_or_host) != paused)
    if _is_did(did_or_host):
        connection.execute(sa.update(mirror_lane).where(lane.did == did_or_host).values(paused=paused))
    else:
        lock_host(connection, did_or_host)
        connection.execute(sa.update(pds_host).where(host.host == did_or_host).values(paused=paused))
    return changed


def _count(connection: sa.Connection, did_or_host: str, condition: sa.ColumnElement[bool]) -> int:
    lanes = mirror_lane.outerjoin(pds_host, host.host == lane.host)
    return count_rows(connection, _whose(did_or_host), condition, of=lanes)


def _paused(did_or_host: str) -> sa.ColumnElement[bool]:
    return lane.paused if _is_did(did_or_host) else host.paused


def _whose(did_or_host: str) -> sa.ColumnElement[bool]:
    return (lane.did if _is_did(did_or_host) else lane.host) == did_or_host


def _is_did(text: str) -> bool:
    return text.startswith("did:")
