"""An album or a playlist of one account, or its list of likes: an order of records of tracks. The record in its owner's PDS is a copy of this."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from aggregates.errors import AlreadyInListError, NotInListError, TooManyItemsError
from aggregates.lists import list_events as events
from aggregates.lists.list_order import arranged, keeps_order, with_changes, with_unseen
from aggregates.published import Published
from aggregates.values import MAX_ITEMS, Artwork, ListItem, Visibility


class TrackList(Published, created_event_name="Created"):
    """One list. Commands decide and trigger one event; events only assign."""

    TOPIC = "list"
    METADATA = ("name", "slug", "description", "release_date", "follow", "items")
    SHOWN = (
        "list_type",
        "name",
        "slug",
        "description",
        "release_date",
        "artwork",
        "visibility",
        "follow",
        "record_requested",
        "items",
        *Published.SHOWN,
    )

    # Events, in the order of a list's life.

    Created = events.Created
    Adopted = events.Adopted
    RecordAdopted = events.RecordAdopted
    Edited = events.Edited
    RecordRequested = events.RecordRequested
    VisibilityChanged = events.VisibilityChanged
    ArtworkReplaced = events.ArtworkReplaced
    ArtworkRemoved = events.ArtworkRemoved
    ItemAdded = events.ItemAdded
    ItemRemoved = events.ItemRemoved
    ItemMoved = events.ItemMoved
    Reordered = events.Reordered
    ItemsTakenOver = events.ItemsTakenOver
    ReferencesRefreshed = events.ReferencesRefreshed

    # State.

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
    items: tuple[ListItem, ...]

    def __init__(self) -> None:
        super().__init__()
        self.first_name: str | None = None
        self.references_refreshed_at: datetime | None = None
        self.others_refreshed_at: datetime | None = None
        """When references to records of other accounts were refreshed last."""

    @property
    def word(self) -> str:
        return self.list_type

    @property
    def is_public(self) -> bool:
        return super().is_public and self.visibility == Visibility.PUBLIC

    @property
    def wants_record(self) -> bool:
        return super().wants_record and self.record_requested and self.visibility == Visibility.PUBLIC

    @property
    def written(self) -> Sequence[ListItem]:
        """The items that its record has, if it has one."""
        return [item for item in self.items if item.cid is not None][:MAX_ITEMS]

    def is_own(self, uri: str) -> bool:
        """Whether this is a record of its account."""
        return uri.startswith(f"at://{self.did}/")

    def follows(self, item: ListItem) -> bool:
        """Whether its record, if it has one, is to refer to the newest record of the item."""
        return self.follow or item.cid is None or self.is_own(item.uri)

    @property
    def followed(self) -> frozenset[ListItem]:
        """The items that are records of other accounts, which it follows."""
        others = (item for item in self.items if self.follows(item) and not self.is_own(item.uri))
        return frozenset(others if self.wants_record else ())

    # Commands. `at` is the time of the command.

    def request_record(self, collection: str, *, at: datetime) -> None:
        """Have a record in a collection from now on; no change where it has, or may have, one."""
        self.require_live()
        if not self.record_requested:
            self.trigger_event(TrackList.RecordRequested, collection=collection, timestamp=at)

    def set_visibility(self, visibility: Visibility, *, at: datetime) -> None:
        self.require_live()
        if visibility != self.visibility:
            self.trigger_event(TrackList.VisibilityChanged, visibility=visibility.value, timestamp=at)

    def set_artwork(self, artwork: Artwork | None, *, at: datetime) -> None:
        """Set the cover, or remove it with None; the same is no change."""
        self.require_live()
        if artwork is not None and artwork != self.artwork:
            self.trigger_event(TrackList.ArtworkReplaced, artwork=artwork, timestamp=at)
        elif artwork is None and self.artwork is not None:
            self.trigger_event(TrackList.ArtworkRemoved, timestamp=at)

    SETTERS: ClassVar[Mapping[str, Callable[..., None]]] = {
        "visibility": set_visibility,
        "artwork": set_artwork,
    }

    def add(self, item: ListItem, *, before: str | None = None, at: datetime, limited: bool = True) -> None:
        """Put an item before another one, by its URI, or at the end. Raises AlreadyInListError, NotInListError and TooManyItemsError.

        Without a limit, the first MAX_ITEMS are in the record.
        """
        self.require_live()
        if any(each.uri == item.uri for each in self.items):
            raise AlreadyInListError
        if limited and len(self.items) >= MAX_ITEMS:
            raise TooManyItemsError(MAX_ITEMS)
        place = len(self.items) if before is None else self.place_of(before)
        self.trigger_event(TrackList.ItemAdded, item=item, place=place, timestamp=at)

    def remove(self, uri: str, *, at: datetime) -> None:
        """Take an item out; raises NotInListError."""
        self.require_live()
        self.trigger_event(TrackList.ItemRemoved, uri=uri, place=self.place_of(uri), timestamp=at)

    def move(self, uri: str, *, before: str | None, at: datetime) -> None:
        """Put an item before another one, or at the end; where it is already, no change. Raises NotInListError."""
        self.require_live()
        place = self.place_of(uri)
        behind = len(self.items) if before is None else self.place_of(before)
        new_place = behind - (behind > place)
        if new_place != place:
            moved = {"uri": uri, "place": place, "new_place": new_place}
            self.trigger_event(TrackList.ItemMoved, **moved, timestamp=at)

    def reorder(self, items: Sequence[ListItem], *, at: datetime, may_repeat: bool = False) -> None:
        """Set all items and their order; those that are there keep their CIDs. Raises AlreadyInListError and TooManyItemsError.

        A list that was so before may repeat an item that another client had entered twice.
        """
        self.require_live()
        added, order = arranged(self.items, items)
        new = {item.uri for item in added}
        is_repeated = len(new) < len(added) or any(item.uri in new for item in self.items)
        if is_repeated and not may_repeat:
            raise AlreadyInListError
        if len(items) > max(MAX_ITEMS, len(self.items)):
            raise TooManyItemsError(MAX_ITEMS)
        if added or order != [*range(len(self.items))]:
            self.trigger_event(TrackList.Reordered, added=added, order=order, timestamp=at)

    def adopt_foreign_edit(self, cid: str, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Adopt theirs; items that no record has yet stay behind what they follow."""
        if "items" in changes:
            unwritten = {item.uri for item in self.items if item.cid is None}
            changes = {**changes, "items": tuple(with_unseen(self.items, changes["items"], unwritten))}
        super().adopt_foreign_edit(cid, changes, at=at)

    def adopt_record(
        self,
        cid: str,
        items: Sequence[ListItem],
        *,
        at: datetime,
        collection: str,
        rkey: str,
        created_at: str,
    ) -> None:
        """Take a record that its PDS has for the list's own, where the list has none, and have these items."""
        self.require_live()
        new = {"added": [*items], "order": [len(self.items) + place for place in range(len(items))]}
        record = {"collection": collection, "rkey": rkey, "created_at": created_at}
        self.trigger_event(TrackList.RecordAdopted, cid=cid, **new, **record, timestamp=at)

    # What the relay observed.

    def take_over(
        self, cid: str, *, base: Sequence[str], theirs: Sequence[ListItem], observed_at: datetime
    ) -> None:
        """Take over what another client added to, and removed from, the items that the record had; `base` are their URIs."""
        self.require_live()
        added, order = arranged(self.items, with_changes(self.items, base, theirs))
        removed = [item.uri for place, item in enumerate(self.items) if place not in {*order}]
        changed = {"added": added, "removed": removed, "order": order}
        self.trigger_event(TrackList.ItemsTakenOver, cid=cid, **changed, timestamp=observed_at)

    def refresh_references(self, references: Mapping[str, ListItem], *, at: datetime) -> None:
        """Refer to records as they are now, by the URIs that they had; unchanged ones make no event."""
        stale = {item.uri: now for item in self.items if (now := references.get(item.uri, item)) != item}
        if stale:
            self.trigger_event(TrackList.ReferencesRefreshed, references=stale, timestamp=at)

    def place_of(self, uri: str) -> int:
        """Return the place of the first item with this URI; raises NotInListError."""
        for place, item in enumerate(self.items):
            if item.uri == uri:
                return place
        raise NotInListError


def may_take_over(base: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether another client's change of the items can be taken over: it did not move those that were there."""
    return base != theirs and keeps_order(base, theirs)
