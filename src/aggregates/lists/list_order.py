"""Orders of a list's items. An entry is named by URI and occurrence: other clients may enter a record twice."""

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from aggregates.values import ListItem


class Entry(NamedTuple):
    uri: str
    occurrence: int


def numbered(uris: Iterable[str]) -> list[Entry]:
    seen, entries = dict[str, int](), list[Entry]()
    for uri in uris:
        occurrence = seen.get(uri, 0)
        entries.append(Entry(uri, occurrence))
        seen[uri] = occurrence + 1
    return entries


def entries_of(items: Iterable[ListItem]) -> list[Entry]:
    return numbered(item.uri for item in items)


def keeps_order(before: Iterable[str], after: Iterable[str]) -> bool:
    """Whether the entries that both have come in the same order."""
    earlier, later = numbered(before), numbered(after)
    common = {*earlier} & {*later}
    return [each for each in earlier if each in common] == [each for each in later if each in common]


class Arrangement(NamedTuple):
    """Items that are new, and the order of all, as places among those that were there and, behind them, the new ones."""

    added: list[ListItem]
    order: list[int]

    def of(self, items: Sequence[ListItem]) -> tuple[ListItem, ...]:
        known = (*items, *self.added)
        return tuple(known[place] for place in self.order)


def arranged(items: Sequence[ListItem], wanted: Sequence[ListItem]) -> Arrangement:
    """Arrange the items as wanted; those that are there keep their CIDs."""
    places = {entry: place for place, entry in enumerate(entries_of(items))}
    added, order = list[ListItem](), list[int]()
    for entry, item in zip(entries_of(wanted), wanted, strict=True):
        if entry not in places:
            places[entry] = len(items) + len(added)
            added.append(item)
        order.append(places[entry])
    return Arrangement(added, order)


def rearranged(items: Sequence[ListItem], uris: Iterable[str]) -> list[ListItem]:
    """Put the items with these URIs in their order, at the places that they have together; the others stay where they are."""
    wanted = {uri: place for place, uri in enumerate(dict.fromkeys(uris))}
    ordered = iter(sorted((each for each in items if each.uri in wanted), key=lambda each: wanted[each.uri]))
    return [next(ordered) if each.uri in wanted else each for each in items]


def with_changes(
    items: Sequence[ListItem], base: Sequence[str], theirs: Sequence[ListItem]
) -> list[ListItem]:
    """Add to the items what `theirs` added to `base`, each behind what it follows there, and take out what it removed."""
    before, after = {*numbered(base)}, entries_of(theirs)
    removed = before - {*after}
    found = {
        entry: item for entry, item in zip(entries_of(items), items, strict=True) if entry not in removed
    }
    new = [(entry, item) for entry, item in zip(after, theirs, strict=True) if entry not in {*before, *found}]
    return _inserted(found, after, new)


def with_unseen(
    items: Sequence[ListItem], wanted: Sequence[ListItem], unseen: Container[str]
) -> list[ListItem]:
    """Take `wanted`, an order by one that does not see the items with these URIs, and put those behind what they follow here."""
    if not any(item.uri in unseen for item in items):
        return [*wanted]
    ours, found = entries_of(items), dict(zip(entries_of(wanted), wanted, strict=True))
    left_out = [
        (entry, item)
        for entry, item in zip(ours, items, strict=True)
        if item.uri in unseen and entry not in found
    ]
    return _inserted(found, ours, left_out)


def _inserted(
    into: dict[Entry, ListItem], order: Sequence[Entry], new: Iterable[tuple[Entry, ListItem]]
) -> list[ListItem]:
    """Insert each behind the nearest of those before it in `order` that is there."""
    entries, items = [*into], {**into}
    for entry, item in new:
        earlier = reversed(order[: order.index(entry)])
        behind = next((each for each in earlier if each in items), None)
        entries.insert(0 if behind is None else entries.index(behind) + 1, entry)
        items[entry] = item
    return [items[each] for each in entries]
