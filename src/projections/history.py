"""`history`: who changed what, when and to what, one row an event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, insert, select

from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable
from eventstore.schema import Json, Position, UtcDateTime, metadata
from projections.fingerprint import fingerprint
from projections.track_changes import TrackChange, track_changes
from projections.visible_state import difference, visible_state

VERSION: Final = 2

history = Table(
    "history",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=False),
    Column("did", Text, nullable=False),
    Column("track_id", Position, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("touches_record", Boolean, nullable=False),
    Column("changes", Json, nullable=False),
    Index("ix_history_track_id_position", "track_id", "position"),
    Index("ix_history_did_position", "did", "position"),
)


@dataclass(frozen=True)
class HistoryEntry:
    """One event of a track: `changes` is a list of {field, before, after}."""

    position: int
    did: str
    track_id: int
    version: int
    type: str
    topic: str
    actor: str
    via: str
    request_id: str
    at: datetime
    touches_record: bool
    changes: list[dict[str, Any]]


@dataclass(frozen=True)
class HistoryPage:
    """Some entries, and the cursor of the next page when there is one."""

    items: tuple[HistoryEntry, ...]
    cursor: int | None


class History:
    """Keeps `history`."""

    name = "history"
    tables = (ProjectedTable(history),)
    fingerprint = fingerprint(VERSION, history)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Write down each change."""
        rows = [_row_of(change) for change in track_changes(changes)]
        if rows:
            connection.execute(insert(into(history)), rows)


def history_page(
    connection: Connection,
    track_id: int,
    *,
    cursor: int | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> HistoryPage:
    """Read a page of the history of a track; `cursor` is the position where the page before ended."""
    position = history.c.position
    query = select(history).where(history.c.track_id == track_id).limit(limit + 1)
    query = query.order_by(position.desc() if newest_first else position)
    if cursor is not None:
        query = query.where(position < cursor if newest_first else position > cursor)
    rows = connection.execute(query).mappings().all()
    entries = tuple(HistoryEntry(**row) for row in rows[:limit])
    return HistoryPage(entries, entries[-1].position if len(rows) > limit else None)


def _row_of(change: TrackChange) -> dict[str, Any]:
    recorded = change.recorded
    return {
        "position": recorded.position,
        "did": recorded.did,
        "track_id": change.after.track_id,
        "version": recorded.version,
        "type": type(change.event).__name__,
        "topic": recorded.topic,
        "actor": recorded.actor,
        "via": recorded.via,
        "request_id": recorded.request_id,
        "at": recorded.recorded_at,
        "touches_record": change.event.touches_record(),
        "changes": difference(visible_state(change.before), visible_state(change.after)),
    }
