"""`history`: one row for each event of a subject, or of an account: actor, time, and the state that it shows before and after."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa
from eventsourcing.domain import Aggregate

from aggregates.accounts.account import Account
from aggregates.accounts.account_events import AccountEvent, ProfileUpdated
from aggregates.published import Owned, has_record
from aggregates.published_events import PublishedEvent
from aggregates.releases.release_events import ReleaseEvent
from aggregates.tracks.track import Track
from aggregates.values import (
    Artwork,
    Audio,
    BlobRef,
    Downloads,
    Feature,
    ListItem,
    ReleaseFile,
    SupportGate,
    same_ends,
)
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable, fingerprint, insert_rows
from eventstore.sql.prepared import Prepared, pipelined
from eventstore.sql.schema import Json, Position, UtcDateTime, envelope_columns, metadata
from eventstore.streams.buckets import account_columns, bucket_of
from eventstore.untrusted import is_storable
from projections.pages import page_of, size_in_sql

_OF_FILES: Final = ("name", "title", "description", "tags")
_SHOWN: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: datetime.isoformat,
    tuple: lambda values: [_shown(each) for each in values],
    **dict.fromkeys((Artwork, Audio, Feature, SupportGate), lambda value: dict(vars(value))),
    BlobRef: attrgetter("audio_cid"),
    ListItem: attrgetter("uri"),
    ReleaseFile: lambda file: {name: _shown(getattr(file, name)) for name in _OF_FILES},
    Downloads: lambda downloads: None if downloads is Downloads.OPEN else downloads.value,
}


def _shown(value: Any) -> Any:
    show = _SHOWN.get(type(value))
    return value if show is None else show(value)


def changes_between(before: Owned | None, after: Owned | None) -> list[dict[str, Any]]:
    """List the fields of a subject whose shown values differ; before it exists it has none."""
    subject = after or before
    fields = subject.SHOWN if subject is not None else ()
    earlier, later = (
        vars(state) if state is not None else dict.fromkeys(fields) for state in (before, after)
    )
    differ = (
        (field, was, now)
        for field in fields
        if earlier[field] is not later[field]
        and (was := _as_changed(earlier[field], later[field]))
        != (now := _as_changed(later[field], earlier[field]))
    )
    return [
        {"field": field, **(_differing(was, now) if field in LONG else {"before": was, "after": now})}
        for field, was, now in differ
    ]


def _as_changed(value: Any, other: Any) -> Any:
    """Show a value as it differs from another: of the files of a release, of each description the part that differs."""
    shown = _shown(value)
    if isinstance(value, tuple) and value and isinstance(value[0], ReleaseFile):
        texts = {each.upload_id: each.description for each in other or ()}
        for file, body in zip(value, shown, strict=True):
            text, other = file.description, texts.get(file.upload_id)
            if text and other and text != other:
                begin, end = same_ends(text, other)
                body["description"] = f"…{text[begin : len(text) - end]}…"
    return shown


def _differing(before: list[Any] | None, after: list[Any] | None) -> dict[str, Any]:
    """Show of a long list the part that differs, without what both begin and end with."""
    begin, end = same_ends(before or [], after or [])
    shown = (each if each is None else each[begin : len(each) - end] for each in (before, after))
    return dict(zip(("before", "after"), shown, strict=True))


LONG: Final = frozenset({"items", "hidden_comments", "files"})
VERSION: Final = 3

history = sa.Table(
    "history",
    metadata,
    sa.Column("position", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    # "account", or the kind of a subject, whose id is `track_id`.
    sa.Column("kind", sa.Text, nullable=False, server_default=sa.text("'track'")),
    sa.Column("track_id", Position),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    *envelope_columns(),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("touches_record", sa.Boolean, nullable=False),
    sa.Column("changes", Json, nullable=False),
    sa.Index("ix_history_track_id_position", "track_id", "position"),
    sa.Index("ix_history_did_position", "did", "position"),
)
it: Final = history.c
_OF_TRACK: Final = sa.case((it.kind == Track.TOPIC, it.track_id))
_COLUMNS: Final[list[Any]] = [
    *(each for each in it if each is not it.track_id),
    it.track_id.label("subject_id"),
    _OF_TRACK.label("track_id"),
]
_ENTRIES: Final = sa.select(*_COLUMNS)


HistoryEntry = sa.Row[Any]
"""A row of `history`: its `subject_id` is that of any kind, and its `track_id` that of a track; an account has none."""


class History:
    """One entry for each event, with what it changed."""

    name = "history"
    tables = (ProjectedTable(history, about="position"),)
    fingerprint = fingerprint(VERSION, history)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        insert_rows(connection, into(history), [_row(change) for change in changes])


@dataclass(frozen=True)
class HistoryPage:
    """Entries, and the cursor of the next page if there is one."""

    items: tuple[HistoryEntry, ...]
    cursor: int | None


@dataclass(frozen=True)
class AuditFilter:
    """Selects events; `since` is inclusive, `until` exclusive."""

    did: str | None = None
    actor: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return the filter as SQL conditions; `false` where no stored text can equal one of its texts."""
        equal = {it.did: self.did, it.actor: self.actor, it.type: self.type}
        conditions: list[sa.ColumnElement[bool]] = [
            column == value if is_storable(value) else sa.false()
            for column, value in equal.items()
            if value is not None
        ]
        conditions += [it.at >= self.since] if self.since is not None else []
        return conditions + ([it.at < self.until] if self.until is not None else [])


def history_page(
    connection: sa.Connection,
    did: str,
    subject_id: int,
    *,
    kind: str = Track.TOPIC,
    cursor: int | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> HistoryPage:
    """Read a page of the history of an account's subject; `cursor` is the position where the page before ended."""
    of_subject = (it.bucket == bucket_of(did), it.track_id == subject_id, it.kind == kind)
    return _page(connection, of_subject, cursor, limit, newest_first=newest_first)


def audit_page(
    connection: sa.Connection, which: AuditFilter, *, cursor: int | None = None, limit: int = 50
) -> HistoryPage:
    return _page(connection, which.conditions(), cursor, limit)


def events_after(
    connection: sa.Connection, which: AuditFilter, *, after: int, until: int, limit: int
) -> HistoryPage:
    """Read the events after a position, oldest first, up to `until`, a stable position."""
    wanted = (*which.conditions(), it.position <= until)
    return _page(connection, wanted, after, limit, newest_first=False)


def _page(
    connection: sa.Connection,
    which: Iterable[sa.ColumnElement[bool]],
    cursor: int | None,
    limit: int,
    *,
    newest_first: bool = True,
) -> HistoryPage:
    """Read the sizes of the entries first: an entry may have as much as a request, and the database sends no more than a page."""
    these = [*which]
    if cursor is not None:
        these.append(it.position < cursor if newest_first else it.position > cursor)
    order = it.position.desc() if newest_first else it.position
    size = size_in_sql(it.changes, connection.dialect.name).label("size")
    sizes = sa.select(it.position, size).where(*these).order_by(order).limit(limit + 1)
    with connection.execute(sizes, execution_options={"stream_results": True}) as found:
        page, more_follow = page_of(found, limit, lambda row: row.size)
    if not page:
        return HistoryPage((), None)
    first, last = page[0].position, page[-1].position
    within = it.position.between(*sorted((first, last)))
    entries = connection.execute(_ENTRIES.where(*these, within).order_by(order)).all()
    return HistoryPage(tuple(entries), last if more_follow else None)


def newest_positions(connection: sa.Connection, dids: Sequence[str]) -> dict[str, int]:
    """Return the position of each account's newest event, for accounts that have one: one row of an index is read for each."""
    with pipelined(connection):
        started = {did: _NEWEST.start(connection, {"did": did}) for did in dids if is_storable(did)}
    newest = {did: result.all()[0].newest for did, result in started.items()}
    return {did: position for did, position in newest.items() if position is not None}


_NEWEST: Final = Prepared(
    lambda _: sa.select(sa.func.max(it.position).label("newest")).where(it.did == sa.bindparam("did"))
)


def newest_at(
    connection: sa.Connection, subject_ids: Collection[int], types: Collection[str]
) -> dict[tuple[str, int, str], datetime]:
    """Return when each subject of any kind with one of these ids had its newest event of each of these types."""
    of = (it.kind, it.track_id, it.type)
    these = (it.track_id.in_(subject_ids), it.type.in_(types))
    rows = connection.execute(sa.select(*of, sa.func.max(it.at)).where(*these).group_by(*of))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def _row(change: Change) -> dict[str, Any]:
    event: Any = change.event
    before: Any = change.before
    after: Any = change.after
    if isinstance(event, PublishedEvent | ReleaseEvent):
        kind, subject_id = after.TOPIC, after.subject_id
        touches_record = (
            isinstance(event, PublishedEvent) and event.touches_record() and has_record(before, after)
        )
        changes = changes_between(before, after)
    elif isinstance(event, AccountEvent):
        kind, subject_id, touches_record = "account", None, False
        changes = fields_of(event, before)
    else:
        msg = f"history knows no {change.topic}: say here what it tells"
        raise TypeError(msg)
    return {
        "position": change.position,
        "did": change.did,
        "kind": kind,
        "track_id": subject_id,
        "version": change.version,
        "type": type(event).__name__,
        "topic": change.topic,
        "actor": change.actor,
        "via": change.via,
        "request_id": change.request_id,
        "at": change.recorded_at,
        "touches_record": touches_record,
        "changes": changes,
    }


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
        {"field": name, "before": None, "after": _shown(value)}
        for name, value in vars(event).items()
        if name not in ENVELOPE and value is not None
    ]
