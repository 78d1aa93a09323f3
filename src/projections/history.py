"""`history`: one row for each event of a subject with a record, or of an account: actor, time, and the state that it shows before and after."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, Final

from eventsourcing.domain import Aggregate
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    func,
    select,
    text,
)

from aggregates.account import Account
from aggregates.account_events import AccountEvent, ProfileUpdated
from aggregates.published import Published, PublishedEvent
from aggregates.track import Track
from aggregates.values import Artwork, Audio, Downloads, Feature, SupportGate
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, fingerprint, insert_rows
from eventstore.schema import Json, Position, UtcDateTime, metadata


def _as_it_is(value: Any) -> Any:
    return value


def _fields(value: Artwork | Audio | Feature | SupportGate | None) -> dict[str, Any] | None:
    return dict(vars(value)) if value is not None else None


def _text(timestamp: datetime | None) -> str | None:
    return timestamp.isoformat() if timestamp is not None else None


SHOWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "title": _as_it_is,
    "artist": _as_it_is,
    "album": _as_it_is,
    "features": lambda features: [_fields(each) for each in features],
    "tags": list,
    "description": _as_it_is,
    "support_gate": _fields,
    "unlisted": _as_it_is,
    "downloads": lambda downloads: None if downloads is Downloads.OPEN else downloads.value,
    "self_labels": list,
    "audio": _fields,
    "artwork": _fields,
    "image_url": _as_it_is,
    "blob": lambda blob: blob.audio_cid if blob is not None else None,
    "blob_requested": _as_it_is,
    "blob_failure": _as_it_is,
    "record_missing_since": _text,
    "foreign_edit": _as_it_is,
    "deleted_at": _text,
    "taken_down_at": _text,
    "takedown_reason": _as_it_is,
    "created_at": _as_it_is,
    "collection": _as_it_is,
    "rkey": _as_it_is,
}
"""Every field of a track whose changes are shown, in order, with the JSON value of its value."""
OF_RECORD: Final[Mapping[str, Callable[[Any], Any]]] = {
    "record_missing_since": _text,
    "foreign_edit": _as_it_is,
    "deleted_at": _text,
    "created_at": _as_it_is,
    "collection": _as_it_is,
    "rkey": _as_it_is,
}
"""What is shown of every kind; of one that says no more, its METADATA too, as it is."""


@cache
def _shown(of: type[Published]) -> Mapping[str, Callable[[Any], Any]]:
    if of is Track:
        return SHOWN
    return {**dict.fromkeys(of.METADATA, _as_it_is), **OF_RECORD}


def visible_state(subject: Published | None) -> dict[str, Any]:
    """Return every field whose changes are shown; a subject that does not exist yet has none."""
    if subject is None:
        return {}
    return {field: shown(getattr(subject, field)) for field, shown in _shown(type(subject)).items()}


def changes_between(before: Published | None, after: Published) -> list[dict[str, Any]]:
    """Return `difference` of the states of a subject; only the values that changed are made."""
    if before is None:
        return difference({}, visible_state(after))
    earlier, later = vars(before), vars(after)
    pairs = (
        (field, shown(earlier[field]), shown(later[field]))
        for field, shown in _shown(type(after)).items()
        if earlier[field] != later[field]
    )
    return [{"field": field, "before": was, "after": now} for field, was, now in pairs if was != now]


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """List the fields whose values differ, in the order of the state."""
    fields = dict.fromkeys([*after, *before])
    return [
        {"field": field, "before": before.get(field), "after": after.get(field)}
        for field in fields
        if before.get(field) != after.get(field)
    ]


VERSION: Final = 3
COPIED: Final = ("position", "did", "version", "topic", "actor", "via", "request_id")

history = Table(
    "history",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=False),
    Column("did", Text, nullable=False),
    # "account", or the kind of a subject with a record, whose id is `track_id`.
    Column("kind", Text, nullable=False, server_default=text("'track'")),
    Column("track_id", Position),
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
    """One event: `changes` is a list of {field, before, after}. That of an account has no `subject_id`."""

    position: int
    did: str
    kind: str
    subject_id: int | None
    version: int
    type: str
    topic: str
    actor: str
    via: str
    request_id: str
    at: datetime
    touches_record: bool
    changes: list[dict[str, Any]]

    @property
    def track_id(self) -> int | None:
        return self.subject_id if self.kind == Track.TOPIC else None


@dataclass(frozen=True)
class HistoryPage:
    """Entries, and the cursor of the next page if there is one."""

    items: tuple[HistoryEntry, ...]
    cursor: int | None


class History:
    """One entry for each event, with what it changed."""

    name = "history"
    tables = (ProjectedTable(history, about="position"),)
    fingerprint = fingerprint(VERSION, history)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Insert a row for each change."""
        rows = [
            {
                **{name: getattr(change, name) for name in COPIED},
                "type": type(change.event).__name__,
                "at": change.recorded_at,
                **_content(change),
            }
            for change in changes
        ]
        insert_rows(connection, into(history), rows)


def history_page(
    connection: Connection,
    subject_id: int,
    *,
    kind: str = Track.TOPIC,
    cursor: int | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> HistoryPage:
    """Read a page of the history of a subject; `cursor` is the position where the page before ended."""
    position = history.c.position
    query = select(history).where(history.c.track_id == subject_id, history.c.kind == kind).limit(limit + 1)
    query = query.order_by(position.desc() if newest_first else position)
    if cursor is not None:
        query = query.where(position < cursor if newest_first else position > cursor)
    rows = connection.execute(query).mappings().all()
    entries = entries_of(rows[:limit])
    return HistoryPage(entries, entries[-1].position if len(rows) > limit else None)


def entries_of(rows: Iterable[RowMapping]) -> tuple[HistoryEntry, ...]:
    """Return the entries that these rows of `history` are."""
    return tuple(
        HistoryEntry(**{"subject_id" if name == "track_id" else name: row[name] for name in row})
        for row in rows
    )


def newest_at(
    connection: Connection, subject_ids: Collection[int], types: Collection[str]
) -> dict[tuple[str, int, str], datetime]:
    """Return when each subject of any kind with one of these ids had its newest event of each of these types."""
    of = (history.c.kind, history.c.track_id, history.c.type)
    these = (history.c.track_id.in_(subject_ids), history.c.type.in_(types))
    rows = connection.execute(select(*of, func.max(history.c.at)).where(*these).group_by(*of))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def _content(change: Change) -> dict[str, Any]:
    event, before, after = change.event, change.before, change.after
    if isinstance(event, PublishedEvent) and isinstance(after, Published):
        differs = changes_between(before if isinstance(before, Published) else None, after)
        subject = {"kind": after.TOPIC, "track_id": after.subject_id}
        return {**subject, "touches_record": event.touches_record(), "changes": differs}
    if isinstance(event, AccountEvent):
        account = {"kind": "account", "track_id": None}
        return {**account, "touches_record": False, "changes": fields_of(event, before)}
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
        {
            "field": name,
            "before": None,
            "after": value.isoformat() if isinstance(value, datetime) else value,
        }
        for name, value in vars(event).items()
        if name not in ENVELOPE and value is not None
    ]
