"""Reschedules lanes that have open targets but no due time, which a repair of targets or manual SQL can leave behind.

Every ordinary change wakes its lane in its own transaction.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, or_, select, update

from eventstore.database import Database
from outbox.mirror.due import is_backfill, is_open, lane_columns, target_columns, target_due_at
from outbox.mirror.lanes import LANES_PER_PAGE, change_lane
from outbox.mirror.states import TargetState
from outbox.mirror.tables import CONCERNS_RELAY, HAS_BLOBS, NEVER, PAST, blob_job, mirror_lane, mirror_target

successor: Final = mirror_target.alias("successor").c


def wake_stuck_lanes(database: Database) -> list[str]:
    """Make a page of lanes due that have an open target and no due time; returns their DIDs."""
    with database.read() as connection:
        asleep = connection.scalars(_PAGE_OF_ASLEEP).all()
    return [did for did in asleep if _wake(database, did)]


def _wake(database: Database, did: str) -> bool:
    with database.write() as connection:
        if connection.scalar(_LOCK_IF_ASLEEP, {"lane": did}) is None:
            return False
        _reopen_targets(connection, did)
        change_lane(connection, did, due_at=database.now(connection))
        return True


def _reopen_targets(connection: Connection, did: str) -> None:
    this = update(mirror_target).where(target_columns.did == did)
    connection.execute(
        this.where(_waits_for_no_upload()).values(state=TargetState.IDLE, reason=None, not_before=PAST)
    )
    connection.execute(this.where(_is_uncleared()).values(cleared_gen=target_columns.desired_gen))


def _asleep() -> Select[str]:
    asleep = (
        and_(time >= NEVER, _waits(which))
        for time, which in ((lane_columns.due_at, ~is_backfill()), (lane_columns.backfill_at, is_backfill()))
    )
    return select(lane_columns.did).where(or_(*asleep))


def _waits(which: ColumnElement[bool]) -> ColumnElement[bool]:
    due = or_(target_due_at() < NEVER, and_(is_open(), _waits_for_no_upload()), _is_uncleared())
    return exists().where(target_columns.did == lane_columns.did, CONCERNS_RELAY, which, due)


def _waits_for_no_upload() -> ColumnElement[bool]:
    """Whether the target waits for a blob that no upload is requested for."""
    requested = exists().where(
        blob_job.c.did == target_columns.did,
        blob_job.c.subject_id == target_columns.subject_id,
        HAS_BLOBS,
        or_(blob_job.c.requested, blob_job.c.again),
    )
    return and_(target_columns.state == TargetState.BLOB, ~requested)


def _is_uncleared() -> ColumnElement[bool]:
    """Whether it is a former copy that was not cleared, although the new record is acknowledged."""
    is_acked = (  # a scalar: for an EXISTS, PostgreSQL would read every target
        select(successor.acked_gen >= successor.desired_gen)
        .where(
            successor.subject_id == target_columns.subject_id,
            successor.kind == target_columns.kind,
            ~successor.former,
        )
        .scalar_subquery()
    )
    return and_(target_columns.former, target_columns.cleared_gen < target_columns.desired_gen, is_acked)


# Built once (CONTRIBUTING.md).

_ASLEEP: Final = _asleep()
_PAGE_OF_ASLEEP: Final = _ASLEEP.limit(LANES_PER_PAGE)
_LOCK_IF_ASLEEP: Final = _ASLEEP.where(lane_columns.did == bindparam("lane")).with_for_update(
    of=mirror_lane, skip_locked=True
)
