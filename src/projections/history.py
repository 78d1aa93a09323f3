"""`history`: one row for each event of a track or of an account: actor, time, and fields before and after."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from eventsourcing.domain import Aggregate
from sqlalchemy import Boolean, Column, Connection, Index, Integer, Table, Text, func, select

from aggregates.account import Account
from aggregates.account_events import AccountEvent, ProfileUpdated
from aggregates.track import Track
from aggregates.track_events import TrackEvent
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, fingerprint
from eventstore.schema import Json, Position, UtcDateTime, metadata
from projections.rows import insert_rows
from projections.visible_state import changes_between

VERSION: Final = 3

history = Table(
    "history",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=False),
    Column("did", Text, nullable=False),
    Column("track_id", Position),  # none for an event of an account
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
    """One event of a track, or of an account: `changes` is a list of {field, before, after}."""

    position: int
    did: str
    track_id: int | None
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
    """Entries, and the cursor of the next page if there is one."""

    items: tuple[HistoryEntry, ...]
    cursor: int | None


class History:
    """The projection of `history`."""

    name = "history"
    tables = (ProjectedTable(history),)
    fingerprint = fingerprint(VERSION, history)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Insert a row for each change."""
        rows = [{**_envelope(change), **_content(change)} for change in changes]
        insert_rows(connection, into(history), rows)


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


def newest_at(
    connection: Connection, track_ids: Collection[int], types: Collection[str]
) -> dict[tuple[int, str], datetime]:
    """Return when each of these tracks had its newest event of each of these types."""
    track_id, kind, newest = history.c.track_id, history.c.type, func.max(history.c.at)
    these = (track_id.in_(track_ids), kind.in_(types))
    rows = connection.execute(select(track_id, kind, newest).where(*these).group_by(track_id, kind))
    return {(row[0], row[1]): row[2] for row in rows}


def _envelope(change: Change) -> dict[str, Any]:
    return {
        "position": change.position,
        "did": change.did,
        "version": change.version,
        "type": type(change.event).__name__,
        "topic": change.topic,
        "actor": change.actor,
        "via": change.via,
        "request_id": change.request_id,
        "at": change.recorded_at,
    }


def _content(change: Change) -> dict[str, Any]:
    event, before, after = change.event, change.before, change.after
    if isinstance(event, TrackEvent) and isinstance(after, Track):
        differs = changes_between(before if isinstance(before, Track) else None, after)
        return {"track_id": after.track_id, "touches_record": event.touches_record(), "changes": differs}
    if isinstance(event, AccountEvent):
        return {"track_id": None, "touches_record": False, "changes": fields_of(event, before)}
    msg = f"history knows no {change.topic}: say here what it tells"
    raise TypeError(msg)


ENVELOPE: Final = frozenset(field.name for field in fields(Aggregate.Created))


def fields_of(event: AccountEvent, before: Any) -> list[dict[str, Any]]:
    """List the fields that have a value, each as a change from nothing; of a profile, what it was before."""
    if isinstance(event, ProfileUpdated):
        earlier = vars(before) if isinstance(before, Account) else {}
        return [
            {"field": name, "before": earlier.get(name), "after": value}
            for name, value in event.changes.items()
        ]
    return [
        {"field": name, "before": None, "after": _plain(value)}
        for name, value in vars(event).items()
        if name not in ENVELOPE and value is not None
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
