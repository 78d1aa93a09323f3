"""Reads the history of a track, with the delivery state of each event."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from eventstore.database import Database
from outbox.views.deliveries import deliveries
from outbox.views.status import mirrors
from projections.history import HistoryEntry, history_page

PAGE_SIZE = 500


def rows_of(database: Database, track_id: int) -> list[dict[str, Any]]:
    """Return one row for each event, oldest first; empty for an unknown track."""
    with database.read() as connection:
        entries = list(_entries(connection, track_id))
        if not entries:
            return []
        mirror = mirrors(connection, [track_id])[track_id]
        events = [(entry.position, entry.touches_record) for entry in entries]
        delivered = deliveries(connection, track_id, events, mirror)
    return [{**asdict(entry), "delivery": asdict(delivered[entry.position])} for entry in entries]


def _entries(connection: Connection, track_id: int) -> Iterator[HistoryEntry]:
    cursor: int | None = None
    while True:
        page = history_page(connection, track_id, cursor=cursor, limit=PAGE_SIZE, newest_first=False)
        yield from page.items
        if page.cursor is None:
            return
        cursor = page.cursor
