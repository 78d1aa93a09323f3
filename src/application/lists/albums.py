"""Albums, and the album text of tracks.

A track is in at most one album, the one that its text names: what changes the one changes the other in the same unit of work.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.published import Published
from aggregates.published_events import PublishedEvent
from aggregates.tracks.track import Track
from aggregates.values import ListItem, ListType, Visibility
from application.errors import TitleTakenError, TooManyTracksError
from application.subjects import new_record
from eventstore.streams.ids import next_subject_id
from eventstore.streams.record_uris import uri_column
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Principal, did_of
from outbox.lists.items import list_item, request_album_texts
from outbox.lists.newest import items_of, references_of
from outbox.mirror.lanes import hold_lane
from outbox.pds.client import RecordKey
from projections.lists import IS_ALBUM, LIVE, album_titled, free_slug, it
from projections.tracks.queries import ListedTrack, tracks_at
from projections.tracks.table import UNSEEN_BY_OTHERS, TrackView, tracks

_of_track: Final = tracks.c
MAX_TRACKS_AT_ONCE: Final = 100
"""Whose album text one unit changes: the account's other commands wait for it."""


def follow_album_text(unit: UnitOfWork, track: Track, before: str | None) -> None:
    """Move a track to the album that its text names, the last one there, after its text was `before`. Call it in the unit that saves the track.

    An album that is not there is made, without a record; one without a record that is empty then is deleted.
    """
    if track.album == before:
        return
    uri = uri_of(track)
    save(unit, *_take_out(unit, {uri}, but=lambda made: made.name == track.album))
    if track.album is None:
        return
    known = album_titled(unit.connection, unit.account, track.album)
    if known is None:
        beside = f"{track.collection.rpartition('.')[0]}.{TrackList.TOPIC}"
        fields = {"list_type": ListType.ALBUM, "name": track.album, "record_requested": False}
        made = new_list(unit, beside, **fields)
    else:
        made = unit.load(TrackList, TrackList.create_id(known))
    if all(item.uri != uri for item in made.items):
        hold_lane(unit.connection, unit.account)
        made.add(items_of(unit.connection, made.did, {uri: None})[uri], at=unit.now, limited=False)
    save(unit, made)


def follow(unit: UnitOfWork, before: Published, after: Published) -> None:
    """Have albums and texts follow what was adopted of another client's version of a track or an album."""
    if isinstance(before, Track) and isinstance(after, Track):
        follow_album_text(unit, after, before.album)
    if isinstance(before, TrackList) and isinstance(after, TrackList):
        rename(unit, after, before.name, before.items, confirm=True)
        if before.items != after.items:
            refresh(unit, after)
        unit.save(after, *_followers(unit, after, before.items, title=before.name))


def rename(
    unit: UnitOfWork,
    made: TrackList,
    title: str | None,
    before: Collection[ListItem],
    *,
    confirm: bool = False,
) -> None:
    """Give the tracks that an album had, and has, its title, where it was another; raises TooManyTracksError."""
    if made.name == title:
        return
    earlier = {item.uri for item in before}
    stay = [item for item in made.items if item.uri in earlier]
    tracks = tracks_with_text(unit, made, title, of=stay, confirm=confirm)
    for track in tracks:
        track.edit({"album": made.name}, at=unit.now)
    unit.save(*tracks)


def require_free_title(unit: UnitOfWork, subject: Published, changes: Mapping[str, Any]) -> None:
    """Raise TitleTakenError where another album has the title that is to be adopted."""
    if isinstance(subject, TrackList) and changes.get("name", subject.name) != subject.name:
        require_free(unit, subject.list_type, changes["name"])


def save(
    unit: UnitOfWork, *lists: TrackList, before: Collection[ListItem] | None = None, title: str | None = None
) -> None:
    """Save lists; where the first one had the items `before`, and this title, its tracks' texts and their other albums follow."""
    for made in lists:
        own = (each for each in made.pending_events if isinstance(each, PublishedEvent))
        if made.wants_record and any(each.RECREATES_RECORD for each in own):
            refresh(unit, made)
    followers = [] if before is None else _followers(unit, lists[0], before, title=title or lists[0].name)
    unit.save(*lists, *followers)


def _followers(
    unit: UnitOfWork, made: TrackList, before: Collection[ListItem], *, title: str | None
) -> list[TrackList | Track]:
    """Return the tracks that have come into an album, or left it when it had this title, with their new texts, and the albums that they leave.

    The texts of too many are left to a job.
    """
    if made.list_type != ListType.ALBUM:
        return []
    earlier, now = {item.uri for item in before}, {item.uri for item in made.items}
    if earlier == now:
        return []
    others: list[TrackList | Track] = [
        *_take_out(unit, now - earlier, but=lambda other: other.list_id == made.list_id)
    ]
    moved = [item for item in (*before, *made.items) if item.uri in earlier ^ now]
    views = [view for view in tracks_of(unit, moved).values() if view.did == made.did]
    live = [view for view in views if view.deleted_at is None]
    if len(live) > MAX_TRACKS_AT_ONCE and title == made.name:
        request_album_texts(unit.connection, made.did, unit.now, made.list_id)
        return others
    tracks = _load_tracks(unit, live)
    for track in tracks:
        is_in = uri_of(track) in now
        if is_in or track.album == title:
            track.edit({"album": made.name if is_in else None}, at=unit.now)
    return [*others, *tracks]


def _take_out(
    unit: UnitOfWork, uris: Collection[str], *, but: Callable[[TrackList], bool]
) -> list[TrackList]:
    """Take tracks out of the albums that they are in, except some; one that texts made is deleted with its last track."""
    these = (it.did == unit.account, IS_ALBUM, LIVE, list_item.c.uri.in_(uris))
    ids = unit.connection.scalars(
        sa.select(it.list_id).join(list_item, sa.and_(*ITS_ITEMS)).where(*these).distinct()
    )
    albums = unit.load_all(TrackList, [TrackList.create_id(each) for each in ids])
    left = [made for made in albums if not but(made)]
    for made in left:
        for uri in [item.uri for item in made.items if item.uri in uris]:
            made.remove(uri, at=unit.now)
        if not (made.items or made.record_requested):
            made.delete(at=unit.now)
    return left


def take_out_of_others(unit: UnitOfWork, uri: str, *, but: int) -> None:
    save(unit, *_take_out(unit, {uri}, but=lambda made: made.list_id == but))


def tracks_of(unit: UnitOfWork, items: Iterable[ListItem]) -> dict[str, ListedTrack]:
    """Return the tracks here that items refer to, by URI, deleted ones too."""
    return tracks_at(unit.connection, [item.uri for item in items])


def tracks_with_text(
    unit: UnitOfWork,
    made: TrackList,
    text: str | None,
    *,
    of: Iterable[ListItem] | None = None,
    confirm: bool = False,
) -> list[Track]:
    """Load the live tracks of an album, or of these items, that are its owner's and have this text.

    Too many are left to a job, where that is confirmed; else raises TooManyTracksError.
    """
    if made.list_type != ListType.ALBUM:
        return []
    views = tracks_of(unit, made.items if of is None else of).values()
    own = [view for view in views if view.did == made.did and view.deleted_at is None]
    some = [view for view in own if view.album == text]
    if len(some) > MAX_TRACKS_AT_ONCE:
        if not confirm:
            raise TooManyTracksError(len(some), MAX_TRACKS_AT_ONCE)
        request_album_texts(unit.connection, made.did, unit.now, made.list_id)
        return []
    return _load_tracks(unit, some)


def _load_tracks(unit: UnitOfWork, views: Iterable[ListedTrack]) -> list[Track]:
    return unit.load_all(Track, [Track.create_id(view.track_id) for view in views])


def require_free(unit: UnitOfWork, list_type: str, title: str | None) -> None:
    if list_type == ListType.ALBUM and title is not None:
        other = album_titled(unit.connection, unit.account, title)
        if other is not None:
            raise TitleTakenError(other)


def new_list(unit: UnitOfWork, collection: str, **fields: Any) -> TrackList:
    def is_promised(key: RecordKey) -> bool:
        these = (it.did == key.did, it.collection == key.collection, it.rkey == key.rkey)
        return bool(unit.connection.scalar(sa.select(sa.exists().where(*these))))

    made = {
        "list_id": next_subject_id(unit.connection, unit.account),
        "description": None,
        "release_date": None,
        "artwork": None,
        "visibility": Visibility.PUBLIC,
        "follow": True,
        "record_requested": True,
        "items": (),
        **new_record(unit, collection, is_promised),
        **fields,
    }
    made["slug"] = made.get("slug") or free_slug(unit.connection, unit.account, made["name"])
    return TrackList.register(at=unit.now, **made)


def refresh(unit: UnitOfWork, made: TrackList) -> None:
    """Refer to the newest records: those of a list without a record are not kept up."""
    hold_lane(unit.connection, made.did)
    made.refresh_references(references_of(unit.connection, made), at=unit.now)


IS_OF_TRACK: Final = (list_item.c.did == _of_track.did, list_item.c.uri == uri_column(_of_track))
"""Whether an item refers to a track of the account that has the list."""


ITS_ITEMS: Final = (list_item.c.did == it.did, list_item.c.list_id == it.list_id)
SHOWN_TO_OTHERS: Final = (it.track_count == 0) | sa.exists().where(
    *ITS_ITEMS, ~sa.exists().where(*IS_OF_TRACK, UNSEEN_BY_OTHERS)
)
"""Of an album: one whose own tracks are all unlisted or deleted is its artist's alone."""


def unseen_counts(
    connection: sa.Connection, did: str, list_ids: Collection[int], caller: Principal | None
) -> dict[int, int]:
    """Return how many of an account's own tracks in each of these lists of its own are not shown to the caller."""
    number = sa.func.count().label("number")
    unseen = sa.select(list_item.c.list_id, number).where(*IS_OF_TRACK)
    of_lists = (list_item.c.did == did, list_item.c.list_id.in_(list_ids))
    is_own = did_of(caller) == did
    unseen = unseen.where(*of_lists, UNSEEN_BY_OTHERS)  # of which there is an index
    if is_own:
        unseen = unseen.where(_of_track.deleted_at.is_not(None))
    rows = connection.execute(unseen.group_by(list_item.c.list_id))
    return {row.list_id: row.number for row in rows}


def uri_of(track: Track | TrackView | ListedTrack) -> str:
    return RecordKey(track.did, track.collection, track.rkey).uri
