"""Makes an album, a playlist or the list of likes of a record, which brings no bytes."""

from collections.abc import Sequence
from typing import Final

from aggregates.errors import InvalidFieldError
from aggregates.lists.track_list import TrackList
from aggregates.published import Published
from aggregates.values import ListItem, ListType, Visibility
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.newest import newest_of
from outbox.lists.record import ITEMS
from outbox.mirror.lanes import hold_lane
from outbox.pds.client import RecordKey, Remote
from projections.lists import album_titled, free_slug, liked_list
from replay.adoption.plain import PlainIntake, PlainRecord
from replay.adoption.record import SAMPLE_TIME, proven_body, require_writable

UNNAMED: Final = "untitled"
OTHER_FIELDS: Final = {
    "name": None,
    "description": None,
    "release_date": None,
    "artwork": None,
    "visibility": Visibility.PUBLIC.value,
    "follow": True,
    "record_requested": True,
}


class AdoptableList(PlainRecord):
    def made(self, unit: UnitOfWork) -> Published:
        """Make the list, unless the record is that of an album which texts of tracks have made; raises InvalidFieldError.

        It refers to tracks as they are now: its record stays as it was found until one of them changes, or the list.
        """
        did, name = self.key.did, self.fields["name"]
        if self.fields["list_type"] == ListType.ALBUM and name is not None:
            album_id = album_titled(unit.connection, did, name)
            if album_id is not None:
                return self._of_texts(unit.load(TrackList, TrackList.create_id(album_id)), unit)
        if self.fields["list_type"] == ListType.LIKED and liked_list(unit.connection, did) is not None:
            raise InvalidFieldError("listType", "must be that of no other list of the account")
        slug = free_slug(unit.connection, did, name or UNNAMED)
        list_id = next_subject_id(unit.connection, did)
        items = _at_newest(unit, did, self.fields["items"])
        return self.adopted(list_id, unit.now, slug=slug, items=items)

    def _of_texts(self, album: TrackList, unit: UnitOfWork) -> TrackList:
        if album.record_requested:
            raise InvalidFieldError("name", "must be a title that no other album of the account has")
        found = {item.uri for item in self.fields["items"]}
        others = [item for item in album.items if item.uri not in found]
        items = _at_newest(unit, album.did, [*self.fields["items"], *others])
        where = {"collection": self.key.collection, "rkey": self.key.rkey}
        created_at = self.fields["created_at"]
        album.adopt_record(self.fields["cid"], items, at=unit.now, created_at=created_at, **where)
        return album


def _at_newest(unit: UnitOfWork, did: str, items: Sequence[ListItem]) -> list[ListItem]:
    hold_lane(unit.connection, did)
    newest = newest_of(unit.connection, did, {item.uri for item in items})
    cids = {uri: each.cid for uri, each in newest.items() if each.uri == uri}
    return [ListItem(item.uri, cids.get(item.uri) or item.cid) for item in items]


class ListIntake(PlainIntake):
    """Adopts albums, playlists and the list of likes."""

    def read(self, key: RecordKey, remote: Remote) -> AdoptableList:
        body = proven_body(key, remote)
        if body.get("listType") not in [*ListType]:
            raise InvalidFieldError("listType", f"must be one of: {', '.join(ListType)}")
        if not isinstance(created_at := body.get("createdAt"), str):
            raise InvalidFieldError("createdAt", "must be a time as in RFC 3339")
        names, readers = {*body, ITEMS}, self.kind.adoptable.items()
        fields = {field: read(body.get(name)) for name, (field, read) in readers if name in names}
        proven = {"list_type": body["listType"], "created_at": created_at, "cid": remote.cid or ""}
        found = AdoptableList(self.kind, key, {**OTHER_FIELDS, **fields, **proven})
        require_writable(self.kind, found.adopted(1, SAMPLE_TIME, slug=UNNAMED), body, {})
        return found
