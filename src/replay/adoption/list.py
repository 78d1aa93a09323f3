"""Makes an album, a playlist or the list of likes of a record, which brings no bytes."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem, ListType, Visibility
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.newest import newest_of
from outbox.lists.record import ITEMS
from outbox.mirror.lanes import hold_lane
from outbox.pds.client import RecordKey, Remote
from outbox.record.kind import RecordKind
from projections.lists import album_titled, free_slug, liked_list
from replay.adoption.adopt import Adoptee
from replay.adoption.record import SAMPLE_TIME, proven_body, require_writable

UNNAMED: Final = "untitled"
OTHER_FIELDS: Final = {
    "description": None,
    "release_date": None,
    "artwork": None,
    "visibility": Visibility.PUBLIC.value,
    "follow": True,
    "record_requested": True,
}


@dataclass(frozen=True)
class AdoptableList:
    """A record as the fields of its list."""

    key: RecordKey
    cid: str
    fields: Mapping[str, Any]

    def made(self, unit: UnitOfWork) -> TrackList:
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
        return TrackList.adopt(at=unit.now, list_id=list_id, slug=slug, **{**self.adopted, "items": items})

    @property
    def adopted(self) -> dict[str, Any]:
        where = {"did": self.key.did, "collection": self.key.collection, "rkey": self.key.rkey}
        return {**OTHER_FIELDS, **self.fields, **where, "cid": self.cid}

    def _of_texts(self, album: TrackList, unit: UnitOfWork) -> TrackList:
        if album.record_requested:
            raise InvalidFieldError("name", "must be a title that no other album of the account has")
        found = {item.uri for item in self.fields["items"]}
        others = [item for item in album.items if item.uri not in found]
        items = _at_newest(unit, album.did, [*self.fields["items"], *others])
        record = {name: self.adopted[name] for name in ("collection", "rkey", "created_at")}
        album.adopt_record(self.cid, items, at=unit.now, **record)
        return album


def _at_newest(unit: UnitOfWork, did: str, items: Sequence[ListItem]) -> list[ListItem]:
    hold_lane(unit.connection, did)
    newest = newest_of(unit.connection, did, {item.uri for item in items})
    cids = {uri: each.cid for uri, each in newest.items() if each.uri == uri}
    return [ListItem(item.uri, cids.get(item.uri) or item.cid) for item in items]


@dataclass(frozen=True)
class ListIntake:
    """Adopts albums, playlists and the list of likes."""

    kind: RecordKind

    def read(self, key: RecordKey, remote: Remote) -> AdoptableList:
        body = proven_body(key, remote)
        if body.get("listType") not in [*ListType]:
            raise InvalidFieldError("listType", f"must be one of: {', '.join(ListType)}")
        if not isinstance(created_at := body.get("createdAt"), str):
            raise InvalidFieldError("createdAt", "must be a time as in RFC 3339")
        names, readers = {*body, ITEMS}, self.kind.adoptable.items()
        fields = {field: read(body.get(name)) for name, (field, read) in readers if name in names}
        fields = {"name": None, **fields, "list_type": body["listType"], "created_at": created_at}
        found = AdoptableList(key, remote.cid or "", fields)
        sample = TrackList.adopt(at=SAMPLE_TIME, list_id=1, slug=UNNAMED, **found.adopted)
        require_writable(self.kind, sample, body, {})
        return found

    @asynccontextmanager
    async def brought(self, host: str, record: AdoptableList) -> AsyncGenerator[Adoptee]:  # noqa: ARG002
        yield Adoptee(record.made)
