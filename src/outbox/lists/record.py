"""Maps a list's state to its record, and back what its owner or the relay may take over from another client.

Two lists are the same whatever CIDs their items have, and items are the same by URI and occurrence.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from aggregates.errors import InvalidFieldError
from aggregates.lists.list_order import Entry, entries_of
from aggregates.lists.track_list import TrackList, may_take_over
from aggregates.values import MAX_ITEMS, ListItem, checked_list_name
from outbox.record.dag_cbor import Record
from outbox.record.kind import FORMATS, GENERATION, RecordKind

ITEMS: Final = "items"


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidFieldError("name", "must be a text")
    return checked_list_name(value)


def _reference(item: Any) -> ListItem | None:
    match item:
        case {"subject": {"uri": str(uri), "cid": str(cid)}} if FORMATS["at-uri"](uri) and FORMATS["cid"](
            cid
        ):
            return ListItem(uri, cid)
    return None


def _items(value: Any) -> tuple[ListItem, ...]:
    """Return the references of a list written by any client; raises InvalidFieldError."""
    items = [_reference(each) for each in value] if isinstance(value, list) else [None]
    if len(items) > MAX_ITEMS:
        raise InvalidFieldError(ITEMS, f"at most {MAX_ITEMS} items")
    if None in items:
        raise InvalidFieldError(ITEMS, "must be a list of objects with a `subject` of `uri` and `cid`")
    return tuple(item for item in items if item is not None)


class ListRecords(RecordKind):
    aggregate = TrackList
    lexicon_id = "fm.plyr.list"
    is_optional = True
    refers_to_others = True
    own_fields = frozenset({"$type", "name", "listType", ITEMS, "createdAt", GENERATION})
    adoptable: ClassVar = {"name": ("name", _name), ITEMS: (ITEMS, _items)}

    def record_of(self, state: TrackList, generation: int) -> Record:
        named = {"name": state.name} if state.name is not None else {}
        return {
            "$type": state.collection,
            **named,
            "listType": state.list_type,
            ITEMS: [{"subject": {"uri": item.uri, "cid": item.cid}} for item in state.written],
            "createdAt": state.created_at,
            GENERATION: generation,
        }

    def may_take_over(self, base: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
        """Whether only items were added or removed; all else is the owner's to decide."""
        before, after = _uris(base.get(ITEMS)), _uris(theirs.get(ITEMS))
        if before is None or after is None or len(after) > MAX_ITEMS or not may_take_over(before, after):
            return False
        return self.own_part({**base, ITEMS: after}) == self.own_part({**theirs, ITEMS: after})

    def take_over(
        self, state: TrackList, base: Mapping[str, Any], theirs: Mapping[str, Any], cid: str, *, at: datetime
    ) -> None:
        before, after = _items(base[ITEMS]), _items(theirs[ITEMS])
        state.take_over(cid, base=[item.uri for item in before], theirs=after, observed_at=at)
        # of other accounts' records it may know newer ones, and what is newer here stays
        changed = {item.uri: item for item in {*after} - {*before} if not state.is_own(item.uri)}
        same = {item.uri for item in {*before}.intersection(state.items)}
        state.refresh_references({uri: changed[uri] for uri in same & changed.keys()}, at=at)

    def merged(self, desired: Record, observed: Mapping[str, Any] | None) -> Record:
        """Add the observed fields that are not ours, also to items: other clients keep data in them."""
        record, theirs = super().merged(desired, observed), (observed or {}).get(ITEMS)
        if ITEMS in desired and isinstance(theirs, list) and not all(map(_is_ours, theirs)):
            known = _by_entry(theirs)
            record[ITEMS] = [
                _merged(known.get(entry), item) for entry, item in _by_entry(desired[ITEMS]).items()
            ]
        return record

    def referring(self, record: Record, cids: Mapping[str, str | None]) -> Record:
        items = [each["subject"] for each in record[ITEMS]]
        if cids.keys().isdisjoint(each["uri"] for each in items):
            return record
        renewed = [{**each, "cid": cids.get(each["uri"]) or each["cid"]} for each in items]
        return {**record, ITEMS: [{"subject": each} for each in renewed]}

    def foreign_references(self, desired: Record, observed: Mapping[str, Any], did: str) -> Mapping[str, str]:
        ours, theirs = desired[ITEMS], observed.get(ITEMS)
        if ours == theirs or not isinstance(theirs, list):
            return {}
        others = [each["subject"] for each in ours if not each["subject"]["uri"].startswith(f"at://{did}/")]
        cids = {each["uri"]: each["cid"] for each in others}
        if len(cids) < len(others):  # a URI alone names no item then
            return {}
        found: dict[str, str] = {}
        for each in theirs:
            subject = each.get("subject") if isinstance(each, dict) else None
            uri, cid = (subject.get("uri"), subject.get("cid")) if isinstance(subject, dict) else (None, None)
            if cids.get(str(uri), cid) == cid:
                continue  # most items: to check each takes fifty times as long
            if (item := _reference(each)) is not None:
                found[item.uri] = str(item.cid)
        return found

    def own_part(self, record: Mapping[str, Any]) -> Record:
        ours = super().own_part(record)
        return {**ours, ITEMS: uris} if (uris := _uris(ours.get(ITEMS))) is not None else ours


def _uris(value: Any) -> list[str] | None:
    """Return the URIs of a list's items; None where an item has none: then it is compared as it is."""
    if not isinstance(value, list):
        return None
    items = [_reference(each) for each in value]
    return None if None in items else [item.uri for item in items if item is not None]


def _by_entry(items: list[Any]) -> Mapping[Entry, Record]:
    known = [(found, each) for each in items if (found := _reference(each)) is not None]
    return dict(zip(entries_of(found for found, _ in known), (each for _, each in known), strict=True))


def _is_ours(item: Any) -> bool:
    """Whether an item has no field that another client keeps in it: of hundreds, merging them would take long."""
    match item:
        case {"subject": {"uri": _, "cid": _, **of_subject}, **more}:
            return not (of_subject or more)
    return False


def _merged(theirs: Record | None, ours: Record) -> Record:
    return ours if theirs is None else {**theirs, "subject": {**theirs["subject"], **ours["subject"]}}
