"""Lanes that nobody would come to: what a repair of the targets, or an operator's hand, leaves behind.

Every ordinary change wakes its lane in its own transaction; this is the net below that.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, or_, select, update

from eventstore.database import Database
from outbox.mirror.lanes import (
    LANES_PER_PAGE,
    change_lane,
    is_backfill,
    is_open,
    lane_columns,
    target_columns,
    target_due_at,
)
from outbox.mirror.states import TargetState
from outbox.mirror.tables import CONCERNS_RELAY, NEVER, PAST, blob_job, mirror_lane, mirror_target

successor: Final = mirror_target.alias("successor").c


def wake_forgotten(database: Database) -> list[str]:
    """Make a page of lanes due that sleep although a target of theirs is open, and say whose they were."""
    with database.read() as connection:
        asleep = connection.scalars(_PAGE_OF_ASLEEP).all()
    return [did for did in asleep if _wake(database, did)]


def _wake(database: Database, did: str) -> bool:
    with database.write() as connection:
        if connection.scalar(_LOCK_IF_ASLEEP, {"lane": did}) is None:
            return False
        _reopen(connection, did)
        change_lane(connection, did, due_at=database.now(connection))
        return True


def _reopen(connection: Connection, did: str) -> None:
    this = update(mirror_target).where(target_columns.did == did)
    connection.execute(
        this.where(_waits_in_vain()).values(state=TargetState.IDLE, reason=None, not_before=PAST)
    )
    connection.execute(this.where(_is_overlooked()).values(cleared_gen=target_columns.desired_gen))


def _asleep() -> Select[str]:
    asleep = (
        and_(time >= NEVER, _waits(which))
        for time, which in ((lane_columns.due_at, ~is_backfill()), (lane_columns.backfill_at, is_backfill()))
    )
    return select(lane_columns.did).where(or_(*asleep))


def _waits(which: ColumnElement[bool]) -> ColumnElement[bool]:
    due = or_(target_due_at() < NEVER, and_(is_open(), _waits_in_vain()), _is_overlooked())
    return exists().where(target_columns.did == lane_columns.did, CONCERNS_RELAY, which, due)


def _waits_in_vain() -> ColumnElement[bool]:
    """Whether it waits for a blob that nobody is asked for."""
    asked = exists().where(
        blob_job.c.did == target_columns.did,
        blob_job.c.track_id == target_columns.track_id,
        or_(blob_job.c.requested, blob_job.c.again),
    )
    return and_(target_columns.state == TargetState.BLOB, ~asked)


def _is_overlooked() -> ColumnElement[bool]:
    """Whether it is what a record has left, the new one is confirmed, and nobody has told it so."""
    there = (  # a value and no EXISTS, for which PostgreSQL would read every target there is
        select(successor.acked_gen >= successor.desired_gen)
        .where(successor.track_id == target_columns.track_id, ~successor.former)
        .scalar_subquery()
    )
    return and_(target_columns.former, target_columns.cleared_gen < target_columns.desired_gen, there)


# Built once (CONTRIBUTING.md).

_ASLEEP: Final = _asleep()
_PAGE_OF_ASLEEP: Final = _ASLEEP.limit(LANES_PER_PAGE)
_LOCK_IF_ASLEEP: Final = _ASLEEP.where(lane_columns.did == bindparam("lane")).with_for_update(
    of=mirror_lane, skip_locked=True
)
