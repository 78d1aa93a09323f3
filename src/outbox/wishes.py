"""What people may ask of the relay about one record: try at once."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, update

from outbox.lanes import lane_columns, target_columns
from outbox.tables import PAST, blob_job, mirror_lane, mirror_target
from outbox.targets import READY, wake_lane

PROBED: Final = ("account_inactive", "identity_stale")
"""Parked for what may be over by now, which only a try can tell; the others wait for a sign-in."""


def retry(connection: Connection, did: str, track_id: int, now: datetime) -> None:
    """Make the record, and its lane with it, due at once; a rejected record gets another try."""
    wake_lane(connection, did, now)
    this_lane = lane_columns.did == did
    connection.execute(update(mirror_lane).where(this_lane).values(not_before=PAST))
    connection.execute(
        update(mirror_lane)
        .where(this_lane, lane_columns.state.in_(PROBED), lane_columns.host != "")
        .values(state=READY)
    )
    connection.execute(
        update(mirror_target)
        .where(target_columns.track_id == track_id, target_columns.state.not_in(("held", "blob")))
        .values(not_before=PAST, failed_gen=0)
    )
    this_job = (blob_job.c.did == did, blob_job.c.track_id == track_id)
    connection.execute(update(blob_job).where(*this_job).values(not_before=PAST))
