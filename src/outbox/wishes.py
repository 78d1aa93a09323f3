"""What people may ask of the relay about one record: try at once."""

from datetime import datetime

from sqlalchemy import Connection, update

from outbox.lanes import lane_columns, target_columns
from outbox.tables import PAST, mirror_lane, mirror_target
from outbox.targets import wake_lane


def retry(connection: Connection, did: str, track_id: int, now: datetime) -> None:
    """Make the record, and its lane with it, due at once; a rejected record gets another try."""
    wake_lane(connection, did, now)
    connection.execute(update(mirror_lane).where(lane_columns.did == did).values(not_before=PAST))
    connection.execute(
        update(mirror_target)
        .where(target_columns.track_id == track_id, target_columns.state.not_in(("held", "blob")))
        .values(not_before=PAST, failed_gen=0)
    )
