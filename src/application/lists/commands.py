"""Commands on albums and playlists: make, edit, order, delete, undelete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aggregates.errors import InvalidFieldError, NotInListError
from aggregates.lists.list_order import rearranged, with_unseen
from aggregates.lists.track_list import TrackList
from aggregates.values import Artwork, ListItem, ListType, Visibility, checked_list_name, cids_in
from application.errors import NotInAlbumsError, RecordNotReadError, TrackNotFoundError
from application.lists.albums import (
    new_list,
    refresh,
    rename,
    require_free,
    save,
    tracks_of,
    tracks_with_text,
    uri_of,
)
from application.subjects import On, load_owned
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.newest import items_of
from outbox.mirror.lanes import hold_lane
from projections.tracks.queries import ListedTrack, track_by_id, tracks_at
from projections.tracks.table import TrackView
from storage.media import Reserved


@dataclass(frozen=True)
class Entry:
    """A track by its id, or a record by its URI; `cid` is what its PDS said of one that no account here has."""

    track_id: int | None = None
    uri: str | None = None
    cid: str | None = None


@dataclass(frozen=True)
class CreateList:
    list_type: ListType
    name: str
    collection: str
    slug: str | None = None
    description: str | None = None
    release_date: str | None = None
    artwork: Artwork | None = None
    visibility: Visibility = Visibility.PUBLIC
    follow: bool = True
    record_requested: bool = True
    """An album without a record gets one when its owner saves it."""
    entries: Sequence[Entry] = ()


def create_list(unit: UnitOfWork, command: CreateList, reserved: Reserved) -> TrackList:
    """Make the list; raises TitleTakenError, and what `_items` and `TrackList.reorder` raise."""
    reserved.require(cids_in(command.artwork), unit.now)
    require_free(unit, command.list_type, command.name)
    fields = {name: value for name, value in vars(command).items() if name != "entries"}
    made = new_list(unit, **fields)
    made.reorder(_items(unit, made, command.entries, {}), at=unit.now)
    save(unit, made, before=())
    return made


@dataclass(frozen=True)
class OnList(On[TrackList]):
    """Which list; with a type, one of that type alone."""

    list_type: ListType | None = None

    @property
    def word(self) -> str:
        return self.list_type or super().word

    def names(self, state: TrackList) -> bool:
        return self.list_type in {None, state.list_type}


@dataclass(frozen=True)
class EditList:
    """Checked values of the changed fields, or those of an earlier version with its items; a new cover is stored already."""

    changes: Mapping[str, Any]
    confirm: bool = False
    """Whether the texts of very many tracks may follow later."""

    def make(self, subject: TrackList, at: datetime) -> None:
        changes = dict(self.changes)
        items = changes.pop("items", None)
        subject.edit(changes, at=at)
        if items is not None:
            subject.reorder(items, at=at, may_repeat=True)


FIELDS: Final = ("name", "slug", "description", "release_date", "follow", "visibility", "artwork", "items")
"""The fields that can be reverted."""
_AS_MADE: Final = "it stays as the list was made"
_OF_PDS: Final = "it says what the PDS has; the relay observes it"
KEPT_BECAUSE: Final = {
    **dict.fromkeys(("list_type", "created_at", "collection", "rkey"), _AS_MADE),
    "record_requested": "a list that has a record keeps it",
    "record_missing_since": _OF_PDS,
    "foreign_edit": _OF_PDS,
    "deleted_at": "an undelete brings a deleted list back",
    **dict.fromkeys(("taken_down_at", "takedown_reason"), "an operator decides it"),
}
"""Why each of the other fields that history shows cannot be reverted."""


@dataclass(frozen=True)
class AddItem:
    entry: Entry


@dataclass(frozen=True)
class RemoveItem:
    entry: Entry


@dataclass(frozen=True)
class MoveItem:
    entry: Entry
    before: Entry | None


@dataclass(frozen=True)
class Reorder:
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Rearrange:
    """An order of some entries, decided on no version: what was added meanwhile stays."""

    entries: Sequence[Entry]


ListChange = EditList | AddItem | RemoveItem | MoveItem | Reorder | Rearrange
Known = dict[str, ListedTrack | None]
"""Tracks that were read already, by URI; None where no track here has it."""


def change_list(
    unit: UnitOfWork,
    on: OnList,
    change: ListChange,
    *,
    collection: str,
    reserved: Reserved,
    known: Known,
) -> TrackList:
    """Change the list, and add to what is `known`; a new title is the album text of its tracks.

    An album that texts of tracks made has a record in this collection from then on. Raises TitleTakenError, TooManyTracksError,
    MediaGoneError, and what the list and `_items` raise.
    """
    made = load_owned(unit, on)
    title, before, cover = made.name, made.items, made.artwork
    _make(unit, made, change, known)
    if made.artwork != cover:
        reserved.require(cids_in(made.artwork), unit.now)
    if list_name_in(made.name) is not None:
        made.request_record(collection, at=unit.now)
    rename(unit, made, title, before, confirm=isinstance(change, EditList) and change.confirm)
    save(unit, made, before=before, title=title)
    return made


def _make(unit: UnitOfWork, made: TrackList, change: ListChange, known: Known) -> None:
    match change:
        case EditList(changes=changes):
            if changes.get("name", made.name) != made.name:
                require_free(unit, made.list_type, changes["name"])
            change.make(made, unit.now)
            if "items" in changes:
                refresh(unit, made)  # what it has again may have another CID by now
        case AddItem(entry=entry):
            made.add(*_items(unit, made, [entry], tracks_of(unit, made.items)), at=unit.now)
        case RemoveItem(entry=entry):
            made.remove(_named(unit, entry), at=unit.now)
        case MoveItem(entry=entry, before=place):
            behind = _named(unit, place) if place is not None else None
            made.move(_named(unit, entry), before=behind, at=unit.now)
        case Reorder(entries=entries):
            before, tracks = made.items, tracks_of(unit, made.items)
            known |= {item.uri: tracks.get(item.uri) for item in before}
            wanted = _items(unit, made, entries, tracks)
            own = (uri for uri, view in tracks.items() if view.did == made.did)
            # its undelete brings a track back at its place
            deleted = {uri for uri in own if tracks[uri].deleted_at is not None}
            made.reorder(with_unseen(before, wanted, deleted), at=unit.now)
        case Rearrange(entries=entries):
            uris = [_named(unit, each) for each in entries]
            if not {item.uri for item in made.items}.issuperset(uris):
                raise NotInListError
            made.reorder(rearranged(made.items, uris), at=unit.now)


def delete_list(
    unit: UnitOfWork, on: OnList, *, confirm: bool = False, with_tracks: bool = False
) -> TrackList:
    """Hide the list; the relay removes its record. The tracks of an album lose their album text, or go too; raises TooManyTracksError."""
    made = load_owned(unit, on)
    tracks = tracks_with_text(unit, made, made.name, confirm=confirm)
    for track in tracks:
        if with_tracks:
            track.delete(at=unit.now)
        else:
            track.edit({"album": None}, at=unit.now)
    made.delete(at=unit.now)
    unit.save(made, *tracks)
    return made


def undelete_list(unit: UnitOfWork, on: OnList, reserved: Reserved) -> TrackList:
    """Restore the list and the album text of its tracks; one that is in another album by now leaves this one. Raises TitleTakenError."""
    made = load_owned(unit, on, deleted_too=True)
    if made.deleted_at is None:
        return made
    require_free(unit, made.list_type, made.name)
    reserved.require(cids_in(made.artwork), unit.now)
    made.undelete(at=unit.now)
    tracks = tracks_with_text(unit, made, None, confirm=True)
    for track in tracks:
        track.edit({"album": made.name}, at=unit.now)
    if made.list_type == ListType.ALBUM:
        for view in tracks_of(unit, made.items).values():
            if view.did == made.did and view.album not in {None, made.name}:
                made.remove(uri_of(view), at=unit.now)
    unit.save(*tracks)
    save(unit, made)
    return made


def _items(
    unit: UnitOfWork, made: TrackList, entries: Sequence[Entry], tracks: Mapping[str, ListedTrack]
) -> list[ListItem]:
    """Return what a list refers to, of which these tracks are in it. Raises TrackNotFoundError, NotInAlbumsError and RecordNotReadError."""
    known = {item.uri: item for item in made.items}
    by_id = {view.track_id: uri for uri, view in tracks.items()}
    found: list[tuple[str, str | None]] = []
    for entry in entries:
        uri = entry.uri if entry.uri in known else by_id.get(entry.track_id or 0)
        found.append((uri, None) if uri is not None else _new_item(unit, made, entry))
    cids = {uri: cid for uri, cid in found if uri not in known}
    if cids:
        hold_lane(unit.connection, unit.account)
    new = items_of(unit.connection, made.did, cids)
    return [known.get(uri) or new[uri] for uri, _ in found]


def _new_item(unit: UnitOfWork, made: TrackList, entry: Entry) -> tuple[str, str | None]:
    view = _view_of(unit, entry)
    if view is not None and (view.deleted_at is not None or view.taken_down_at is not None):
        raise TrackNotFoundError
    if view is None and entry.uri is None:
        raise TrackNotFoundError
    if made.list_type == ListType.ALBUM and (view is None or view.did != made.did):
        raise NotInAlbumsError
    if view is not None:
        return uri_of(view), None
    if entry.cid is None:
        raise RecordNotReadError
    return str(entry.uri), entry.cid


def _view_of(unit: UnitOfWork, entry: Entry) -> TrackView | ListedTrack | None:
    if entry.track_id is not None:
        return track_by_id(unit.connection, entry.track_id)
    uri = entry.uri or ""
    return tracks_at(unit.connection, [uri]).get(uri)


def _named(unit: UnitOfWork, entry: Entry) -> str:
    """Return the URI of an entry that a list has; raises TrackNotFoundError."""
    if entry.uri is not None:
        return entry.uri
    if (view := _view_of(unit, entry)) is None:
        raise TrackNotFoundError
    return uri_of(view)


def list_name_in(text: str | None) -> str | None:
    """Return the name, if a list with a record may be called so."""
    try:
        return checked_list_name(text or "")
    except InvalidFieldError:
        return None
