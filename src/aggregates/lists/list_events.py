"""The events of a list, in the order of its life. Their topics and fields are stored data.

A list may have 500 items, so that an event names those that it changes, and orders name places.
"""

from typing import TYPE_CHECKING, Any, Final

from aggregates import published_events
from aggregates.lists.list_order import Arrangement
from aggregates.published_events import assign_fields
from aggregates.values import Artwork, ListItem

if TYPE_CHECKING:
    from aggregates.lists.track_list import TrackList

IN_RECORD: Final = frozenset({"name", "items"})
"""The fields that are in the record, of those that are edited together."""


class Created(published_events.Created):
    """Its owner made the list; or, with `record_requested` false, the album text of a track did."""

    TOPIC = "list.created.v1"
    did: str
    list_id: int
    list_type: str
    name: str | None
    slug: str
    description: str | None
    release_date: str | None
    artwork: Artwork | None
    visibility: str
    follow: bool
    record_requested: bool
    items: list[ListItem]
    created_at: str
    collection: str
    rkey: str

    def assign(self, track_list: "TrackList") -> None:
        super().assign(track_list)
        track_list.first_name = self.name


class Adopted(published_events.Adopted, Created):
    TOPIC = "list.adopted.v1"


class RecordAdopted(published_events.PublishedEvent):
    """An album that texts of tracks had made got a record with `cid`, which is on its account's PDS already."""

    TOPIC = "list.record_adopted.v1"
    cid: str
    collection: str
    rkey: str
    created_at: str
    added: list[ListItem]
    order: list[int]

    def sets_generation(self) -> bool:
        return True

    def assign(self, track_list: "TrackList") -> None:
        track_list.record_requested = True
        for name in ("collection", "rkey", "created_at"):
            setattr(track_list, name, getattr(self, name))
        track_list.items = Arrangement(self.added, self.order).of(track_list.items)


class Edited(published_events.PublishedEvent):
    """Only what changed; null means removed."""

    TOPIC = "list.edited.v1"
    changes: dict[str, Any]

    def touches_record(self) -> bool:
        return not IN_RECORD.isdisjoint(self.changes)

    def assign(self, track_list: "TrackList") -> None:
        assign_fields(track_list, self.changes)


class RecordRequested(published_events.PublishedEvent):
    """The owner saved an album that texts of tracks had made: it has a record from now on, in this collection."""

    TOPIC = "list.record_requested.v1"
    TOUCHES_RECORD = True
    RECREATES_RECORD = True
    collection: str

    def assign(self, track_list: "TrackList") -> None:
        track_list.record_requested = True
        track_list.collection = self.collection


class VisibilityChanged(published_events.PublishedEvent):
    """Shown to all, with a record; or private, without one."""

    TOPIC = "list.visibility_changed.v1"
    TOUCHES_RECORD = True
    RECREATES_RECORD = True
    visibility: str


class ArtworkReplaced(published_events.PublishedEvent):
    """A cover was set, for the first time or in place of another; it is not part of the record."""

    TOPIC = "list.artwork_replaced.v1"
    artwork: Artwork


class ArtworkRemoved(published_events.PublishedEvent):
    """The cover was removed; its bytes stay until the sweep."""

    TOPIC = "list.artwork_removed.v1"

    def assign(self, track_list: "TrackList") -> None:
        track_list.artwork = None


class ItemAdded(published_events.PublishedEvent):
    """An item was put at a place."""

    TOPIC = "list.item_added.v1"
    TOUCHES_RECORD = True
    item: ListItem
    place: int

    def assign(self, track_list: "TrackList") -> None:
        items = track_list.items
        track_list.items = (*items[: self.place], self.item, *items[self.place :])


class ItemRemoved(published_events.PublishedEvent):
    """The item at a place was taken out."""

    TOPIC = "list.item_removed.v1"
    TOUCHES_RECORD = True
    uri: str
    place: int

    def assign(self, track_list: "TrackList") -> None:
        items = track_list.items
        track_list.items = (*items[: self.place], *items[self.place + 1 :])


class ItemMoved(published_events.PublishedEvent):
    """The item at a place was taken out and put at another; `new_place` is that among the others."""

    TOPIC = "list.item_moved.v1"
    TOUCHES_RECORD = True
    uri: str
    place: int
    new_place: int

    def assign(self, track_list: "TrackList") -> None:
        others = [*track_list.items]
        others.insert(self.new_place, others.pop(self.place))
        track_list.items = tuple(others)


class Reordered(published_events.PublishedEvent):
    """The owner set all entries and their order: `order` names places, those of `added` behind all that were there."""

    TOPIC = "list.reordered.v1"
    TOUCHES_RECORD = True
    added: list[ListItem]
    order: list[int]

    def assign(self, track_list: "TrackList") -> None:
        track_list.items = Arrangement(self.added, self.order).of(track_list.items)


class ItemsTakenOver(published_events.PublishedEvent):
    """Another client added items to the record, or removed some, and nothing else of ours; the list has them so from now on."""

    TOPIC = "list.items_taken_over.v1"
    cid: str
    added: list[ListItem]
    removed: list[str]
    order: list[int]

    def sets_generation(self) -> bool:
        return True

    def assign(self, track_list: "TrackList") -> None:
        track_list.items = Arrangement(self.added, self.order).of(track_list.items)
        track_list.foreign_edit = None


class ReferencesRefreshed(published_events.PublishedEvent):
    """Records that the list refers to have other CIDs now, or none, or other URIs; by the URIs that they had."""

    TOPIC = "list.references_refreshed.v1"
    TOUCHES_RECORD = True
    BY_RELAY = True
    references: dict[str, ListItem]

    def assign(self, track_list: "TrackList") -> None:
        track_list.items = tuple(self.references.get(item.uri, item) for item in track_list.items)
        of_own = {track_list.is_own(uri) for uri in self.references}
        if True in of_own:
            track_list.references_refreshed_at = self.timestamp
        if False in of_own:
            track_list.others_refreshed_at = self.timestamp
