"""Gives a track a long history."""

from sqlalchemy import func, insert, select

from projections.history import history


def lengthen(database, track_id, events):
    """Add this many events to the history of a track, and as many later ones to that of another."""
    with database.write() as connection:
        newest = (
            connection.execute(
                select(history).where(history.c.track_id == track_id).order_by(history.c.position.desc())
            )
            .mappings()
            .first()
        )
        last = connection.execute(select(func.max(history.c.position))).scalar_one()
        rows = [
            {
                **newest,
                "track_id": track,
                "position": last + number,
                "version": newest["version"] + number,
                "type": "MetadataUpdated",
                "changes": [{"field": "title", "before": f"Take {number - 1}", "after": f"Take {number}"}],
            }
            for track, start in ((track_id, 1), (track_id + 1, events + 1))
            for number in range(start, start + events)
        ]
        connection.execute(insert(history), rows)
        connection.exec_driver_sql("analyze history")
