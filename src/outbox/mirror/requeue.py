"""What people may ask of the relay about their records: try one at once, look at some again, let many go behind what others do just now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, true, update

from outbox.mirror.lanes import is_open, lane_columns, target_columns
from outbox.mirror.parking import probe_now
from outbox.mirror.states import TargetState
from outbox.mirror.tables import PAST, blob_job, mirror_lane, mirror_target, repo_scan
from outbox.mirror.targets import wake_lane

MOST_IN_A_STATEMENT: Final = 1000


def retry(connection: Connection, did: str, track_id: int, now: datetime) -> None:
    """Make the record, and its lane with it, due at once; a rejected record gets another try.

    An account that the lane waits for is looked at first.
    """
    wake_lane(connection, did, now)
    connection.execute(update(mirror_lane).where(lane_columns.did == did).values(not_before=PAST))
    probe_now(connection, did, now)
    connection.execute(
        update(mirror_target)
        .where(
            target_columns.track_id == track_id,
            target_columns.state.not_in((TargetState.HELD, TargetState.BLOB)),
        )
        .values(not_before=PAST, failed_gen=0, backfill=False)
    )
    this_job = (blob_job.c.did == did, blob_job.c.track_id == track_id)
    connection.execute(update(blob_job).where(*this_job).values(not_before=PAST))


def backfill(connection: Connection, did: str, track_ids: Sequence[int], now: datetime) -> int:
    """Let what is to be sent for these tracks wait for live work; to be called after the events of bulk work.

    Returns how many records were marked. A newer event makes its record live again.
    """
    _wake_behind_live(connection, did, now)
    marked = 0
    for start in range(0, len(track_ids), MOST_IN_A_STATEMENT):
        some = track_ids[start : start + MOST_IN_A_STATEMENT]
        these = (target_columns.did == did, target_columns.track_id.in_(some), is_open())
        marked += connection.execute(update(mirror_target).where(*these).values(backfill=True)).rowcount
    return marked


def suspect(connection: Connection, track_ids: Sequence[int], now: datetime) -> None:
    """Have these records read again: somebody believes that the PDS holds something else. That is a hint and no more.

    A record that is still to be sent needs no look, since its swap tells; but what is under way now may have read or
    written before the doubt came up. Doubts come in thousands, and nobody waits for what becomes of one: looks go
    behind live work. Lanes go before targets, in one order, as everywhere.
    """
    under_way = exists().where(lane_columns.did == target_columns.did, lane_columns.lease_until > now)
    sleeps = and_(~is_open(), target_columns.look_at > now)
    for start in range(0, len(track_ids), MOST_IN_A_STATEMENT):
        some = target_columns.track_id.in_(track_ids[start : start + MOST_IN_A_STATEMENT])
        these = and_(some, or_(under_way, sleeps))
        for did in sorted(connection.scalars(select(target_columns.did).where(these).distinct())):
            _look_behind_live(connection, did, these, now)


def suspect_all(connection: Connection, did: str, now: datetime) -> None:
    """Have all records of an account read again that its PDS has confirmed."""
    _look_behind_live(connection, did, and_(target_columns.acked_gen > 0, target_columns.look_at > now), now)


def _look_behind_live(connection: Connection, did: str, which: ColumnElement[bool], now: datetime) -> None:
    _wake_behind_live(connection, did, now)
    # what is to be sent stays as urgent as it is
    can_wait = case((is_open(), target_columns.backfill), else_=true())
    these = update(mirror_target).where(target_columns.did == did, which)
    connection.execute(these.values(look_at=now, backfill=can_wait))


def _wake_behind_live(connection: Connection, did: str, now: datetime) -> None:
    """Make the lane due for what can wait, and hold its row: else a turn that ends just now could put it to sleep again."""
    due_at = case((lane_columns.backfill_at > now, now), else_=lane_columns.backfill_at)
    connection.execute(update(mirror_lane).where(lane_columns.did == did).values(backfill_at=due_at))


def rescan(connection: Connection, did: str) -> None:
    """Have a repo looked through at the next scan, whatever its revision is."""
    _rescan(connection, repo_scan.c.did == did)


def rescan_host(connection: Connection, host: str) -> None:
    """Have all repos of a host looked through."""
    _rescan(connection, repo_scan.c.did.in_(select(lane_columns.did).where(lane_columns.host == host)))


def _rescan(connection: Connection, which: ColumnElement[bool]) -> None:
    """Forget how far they were looked through; one that never was is due anyway."""
    connection.execute(update(repo_scan).where(which).values(rev=None, scanned_at=PAST))
