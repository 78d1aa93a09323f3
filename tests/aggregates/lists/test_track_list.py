"""The rule book of lists: what may happen to an album or a playlist, and what then has happened."""

from collections.abc import Callable
from typing import Any

import pytest

from aggregates.errors import (
    AlreadyInListError,
    DeletedError,
    InvalidFieldError,
    NotInListError,
    TooManyItemsError,
)
from aggregates.lists.list_order import keeps_order
from aggregates.lists.track_list import TrackList, may_take_over
from aggregates.values import (
    MAX_ITEMS,
    ListItem,
    Visibility,
    checked_list_name,
    checked_release_date,
    checked_slug,
    graphemes,
    slug_of,
)
from tests.dsl import LISTS, a_list, own_fields, replayed, some_artwork, some_item, some_time

NOW = some_time(60)
Step = Callable[[TrackList], None]


def a_list_of(names: str, **fields: Any) -> TrackList:
    """A list whose items are named by letters; a capital has a CID, a small one waits for its record."""
    made = a_list(items=tuple(some_item(each) for each in names), **fields)
    made.collect_events()
    return made


def order_of(track_list: TrackList) -> str:
    return "".join(item.uri[-1] if item.cid is None else item.uri[-1].upper() for item in track_list.items)


def uris(names: str) -> list[str]:
    return [some_item(each).uri for each in names]


def items(names: str) -> list[ListItem]:
    return [some_item(each) for each in names]


def after(names: str, step: Step, **fields: Any) -> tuple[str, Any]:
    """The order of the list after a step, and the event; a replay makes the same list."""
    track_list = a_list(items=tuple(items(names)), **fields)
    past = [*track_list.collect_events()]
    step(track_list)
    new = [*track_list.collect_events()]
    assert len(new) <= 1
    assert replayed([*past, *new]) == track_list
    return order_of(track_list), new[0] if new else None


def test_a_new_list_has_what_was_given_and_is_named_first_as_it_is() -> None:
    track_list = a_list(name="First", items=tuple(items("AB")))
    [event] = track_list.collect_events()
    assert type(event) is TrackList.Created
    assert (track_list.first_name, order_of(track_list), track_list.wants_record) == ("First", "AB", True)
    track_list.edit({"name": "Second"}, at=NOW)
    assert (track_list.name, track_list.first_name) == ("Second", "First")


@pytest.mark.parametrize(
    ("before", "expected"), [(None, "ABCX"), ("A", "XABC"), ("B", "AXBC"), ("C", "ABXC")]
)
def test_an_item_is_added_before_another_or_at_the_end(before: str | None, expected: str) -> None:
    place = None if before is None else uris(before)[0]
    order, event = after("ABC", lambda it: it.add(some_item("X"), before=place, at=NOW))
    assert order == expected
    assert own_fields(event) == {"item": some_item("X"), "place": expected.index("X")}


def test_an_item_is_entered_once_and_next_to_one_that_is_there() -> None:
    for step, error in (
        (lambda it: it.add(some_item("B"), at=NOW), AlreadyInListError),
        (lambda it: it.add(some_item("b"), at=NOW), AlreadyInListError),
        (lambda it: it.add(some_item("X"), before="at://elsewhere", at=NOW), NotInListError),
        (lambda it: it.remove("at://elsewhere", at=NOW), NotInListError),
        (lambda it: it.move("at://elsewhere", before=None, at=NOW), NotInListError),
        (lambda it: it.reorder(items("ABXX"), at=NOW), AlreadyInListError),
        (lambda it: it.reorder(items("ABB"), at=NOW), AlreadyInListError),
    ):
        track_list = a_list_of("AB")
        with pytest.raises(error):
            step(track_list)
        assert not track_list.collect_events()


def test_a_full_list_takes_no_more_unless_a_text_names_it() -> None:
    many = tuple(
        ListItem(f"at://did:plc:alice/fm.plyr.track/{number}", "bafy") for number in range(MAX_ITEMS)
    )
    track_list = a_list(items=many)
    with pytest.raises(TooManyItemsError) as refused:
        track_list.add(some_item("X"), at=NOW)
    assert refused.value.limit == MAX_ITEMS
    with pytest.raises(TooManyItemsError):
        track_list.reorder([*many, some_item("X")], at=NOW)
    track_list.add(some_item("X"), limited=False, at=NOW)
    assert len(track_list.items) == MAX_ITEMS + 1
    assert track_list.written == [*many], "the record has as many as its lexicon allows"
    track_list.reorder([some_item("X"), *many], at=NOW)
    assert track_list.written[0] == some_item("X")


def test_an_item_is_taken_out_and_moved() -> None:
    assert after("ABC", lambda it: it.remove(uris("B")[0], at=NOW))[0] == "AC"
    for moved, before, expected in (
        ("A", None, "BCA"),
        ("A", "C", "BAC"),
        ("C", "A", "CAB"),
        ("B", "A", "BAC"),
        ("C", "B", "ACB"),
    ):
        place = None if before is None else uris(before)[0]
        order, _ = after("ABC", lambda it, m=moved, p=place: it.move(uris(m)[0], before=p, at=NOW))  # type: ignore[misc]
        assert order == expected


@pytest.mark.parametrize(("moved", "before"), [("C", None), ("A", "B"), ("B", "B"), ("B", "C")])
def test_a_move_to_the_same_place_is_no_change(moved: str, before: str | None) -> None:
    place = None if before is None else uris(before)[0]
    assert after("ABC", lambda it: it.move(uris(moved)[0], before=place, at=NOW)) == ("ABC", None)


@pytest.mark.parametrize("wanted", ["CBA", "AC", "XACYB", "", "X"])
def test_the_whole_order_is_set_by_one_event(wanted: str) -> None:
    order, event = after("ABC", lambda it: it.reorder(items(wanted), at=NOW))
    assert (order, type(event)) == (wanted, TrackList.Reordered)


def test_the_same_order_is_no_change_and_no_other_cid() -> None:
    assert after("AbC", lambda it: it.reorder(items("ABC"), at=NOW)) == ("AbC", None)
    assert after("AbC", lambda it: it.reorder(items("CBA"), at=NOW))[0] == "CbA"


def test_a_record_that_was_entered_twice_by_another_client_stays_twice() -> None:
    assert after("ABA", lambda it: it.add(some_item("C"), at=NOW))[0] == "ABAC"
    assert after("ABA", lambda it: it.reorder(items("AAB"), at=NOW))[0] == "AAB"
    assert after("ABA", lambda it: it.remove(uris("A")[0], at=NOW))[0] == "BA"
    assert after("ABA", lambda it: it.reorder(items("AB"), at=NOW))[0] == "AB"


@pytest.mark.parametrize(
    ("ours", "base", "theirs", "expected"),
    [
        ("ABC", "ABC", "ABCX", "ABCX"),
        ("ABC", "ABC", "XABC", "XABC"),
        ("ABC", "ABC", "AXYBC", "AXYBC"),
        ("ABC", "ABC", "AC", "AC"),
        ("ABC", "ABC", "", ""),
        # both changed it
        ("CBA", "ABC", "ABCX", "CXBA"),
        ("ABCY", "ABC", "ABCX", "ABCXY"),
        ("AC", "ABC", "ABXC", "AXC"),
        ("ABCX", "ABC", "XABC", "ABCX"),
        ("AC", "ABC", "AC", "AC"),
        # what the record does not have stays
        ("ABuC", "ABC", "AC", "AuC"),
        ("uABC", "ABC", "ABCX", "uABCX"),
        # a second entry of another client
        ("AB", "AB", "ABA", "ABA"),
        ("ABA", "ABA", "AB", "AB"),
    ],
)
def test_what_another_client_added_and_removed_is_taken_over_at_its_place(
    ours: str, base: str, theirs: str, expected: str
) -> None:
    order, event = after(
        ours,
        lambda it: it.take_over("bafynew", base=uris(base), theirs=items(theirs), observed_at=NOW),
    )
    assert order == expected
    assert type(event) is TrackList.ItemsTakenOver


def test_what_was_taken_over_is_named() -> None:
    _, event = after(
        "ABC", lambda it: it.take_over("bafynew", base=uris("ABC"), theirs=items("AXC"), observed_at=NOW)
    )
    assert (event.cid, event.added, event.removed) == ("bafynew", items("X"), uris("B"))
    assert event.sets_generation()
    assert not event.touches_record()


@pytest.mark.parametrize(
    ("base", "theirs", "may"),
    [
        ("ABC", "AC", True),
        ("ABC", "ABXC", True),
        ("ABC", "ABC", False),
        ("ABC", "ACB", False),
        ("ABC", "CXA", False),
        ("AB", "ABA", True),
        ("ABA", "BA", False),
        ("", "A", True),
    ],
)
def test_only_what_moves_no_item_may_be_taken_over(base: str, theirs: str, may: bool) -> None:
    assert may_take_over(uris(base), uris(theirs)) is may
    assert keeps_order(uris(base), uris(theirs)) or not may


def test_items_of_theirs_are_adopted_and_those_that_no_record_has_stay() -> None:
    for ours, theirs, expected in (
        ("AuBC", "CAB", "CAuB"),
        ("uAB", "BA", "uBA"),
        ("ABu", "", "u"),
        ("AuvB", "BXA", "BXAuv"),
    ):
        order, event = after(
            ours,
            lambda it, t=theirs: it.adopt_foreign_edit("bafynew", {"items": tuple(items(t))}, at=NOW),  # type: ignore[misc]
        )
        assert order == expected
        assert [*event.changes] == ["items"]


def test_references_are_refreshed_without_a_new_version_for_clients() -> None:
    track_list = a_list_of("Ab")
    new = {uris("A")[0]: ListItem(uris("A")[0], "bafynewer"), uris("b")[0]: some_item("B")}
    track_list.refresh_references({**new, "at://elsewhere": some_item("X")}, at=NOW)
    [event] = track_list.collect_events()
    assert own_fields(event) == {"references": new}
    assert event.touches_record()
    assert (track_list.version, track_list.visible_version) == (2, 1)
    assert track_list.items == tuple(new.values())
    track_list.refresh_references(new, at=NOW)
    assert not track_list.collect_events()


def test_a_reference_follows_a_record_to_its_new_place() -> None:
    track_list = a_list_of("AB")
    moved = ListItem("at://did:plc:alice/new.collection/a", "bafymoved")
    track_list.refresh_references({uris("A")[0]: moved}, at=NOW)
    assert track_list.items == (moved, some_item("B"))


def test_a_list_wants_a_record_while_it_is_live_public_and_asked_for() -> None:
    album = a_list_of("A", record_requested=False)
    assert not album.wants_record
    album.request_record(LISTS, at=NOW)
    assert album.wants_record
    album.set_visibility(Visibility.PRIVATE, at=NOW)
    assert not album.wants_record
    album.set_visibility(Visibility.PUBLIC, at=NOW)
    album.delete(at=NOW)
    assert not album.wants_record
    album.undelete(at=NOW)
    assert album.wants_record


def test_the_record_is_written_again_for_its_name_and_items_alone() -> None:
    for changes, touches in (
        ({"name": "Other"}, True),
        ({"slug": "other"}, False),
        ({"description": "Words", "release_date": "2026-11-30", "follow": False}, False),
    ):
        _, event = after("A", lambda it, c=changes: it.edit(c, at=NOW))  # type: ignore[misc]
        assert (event.changes, event.touches_record()) == (changes, touches)
    _, event = after("A", lambda it: it.set_artwork(some_artwork(), at=NOW))
    assert not event.touches_record()


UNCHANGED: dict[str, Step] = {
    "edit": lambda it: it.edit({"name": "List 1", "items": it.items}, at=NOW),
    "set_visibility": lambda it: it.set_visibility(Visibility.PUBLIC, at=NOW),
    "request_record": lambda it: it.request_record(LISTS, at=NOW),
    "set_artwork": lambda it: it.set_artwork(None, at=NOW),
    "undelete": lambda it: it.undelete(at=NOW),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_changes_nothing_makes_no_event(name: str) -> None:
    assert after("A", UNCHANGED[name]) == ("A", None)


COMMANDS: dict[str, Step] = {
    "edit": lambda it: it.edit({"name": "new"}, at=NOW),
    "request_record": lambda it: it.request_record(LISTS, at=NOW),
    "set_visibility": lambda it: it.set_visibility(Visibility.PRIVATE, at=NOW),
    "set_artwork": lambda it: it.set_artwork(some_artwork(), at=NOW),
    "add": lambda it: it.add(some_item("X"), at=NOW),
    "remove": lambda it: it.remove(uris("A")[0], at=NOW),
    "move": lambda it: it.move(uris("A")[0], before=None, at=NOW),
    "reorder": lambda it: it.reorder(items("BA"), at=NOW),
    "take_over": lambda it: it.take_over("bafy", base=[], theirs=items("X"), observed_at=NOW),
    "adopt_foreign_edit": lambda it: it.adopt_foreign_edit("bafy", {"name": "theirs"}, at=NOW),
}


def test_a_record_that_is_found_gives_a_list_other_items_and_cids() -> None:
    record: dict[str, Any] = {"collection": LISTS, "rkey": "3kfound", "created_at": "2019-05-04T12:03:07Z"}
    order, event = after(
        "ABc",
        lambda it: it.adopt_record("bafyfound", items("EBAC"), **record, at=NOW),
        record_requested=False,
    )
    assert order == "EBAC"
    assert (event.added, event.touches_record(), event.sets_generation()) == (items("EBAC"), False, True)
    made = a_list_of("A", record_requested=False)
    made.adopt_record("bafyfound", items("A"), **record, at=NOW)
    assert made.wants_record
    assert (made.collection, made.rkey, made.created_at) == (*record.values(),)


def test_a_list_follows_its_own_account_and_others_while_its_owner_wants_that() -> None:
    own, other = some_item("A"), ListItem("at://did:plc:b/c.track/k", "bafy")
    unwritten = ListItem(other.uri + "2", None)
    for follow, followed in ((True, {other, unwritten}), (False, {unwritten})):
        made = a_list(items=(own, other, unwritten), follow=follow)
        assert [made.follows(each) for each in made.items] == [True, follow, True]
        assert made.followed == followed
        made.set_visibility(Visibility.PRIVATE, at=NOW)
        assert not made.followed


def test_the_time_of_a_refresh_is_that_of_the_accounts_whose_records_it_concerns() -> None:
    own, other = some_item("A"), ListItem("at://did:plc:b/c.track/k", "bafy")
    made = a_list(items=(own, other))
    made.refresh_references({own.uri: ListItem(own.uri, "bafynew")}, at=NOW)
    assert (made.references_refreshed_at, made.others_refreshed_at) == (NOW, None)
    later = some_time(70)
    made.refresh_references({other.uri: ListItem(other.uri, "bafynew")}, at=later)
    assert (made.references_refreshed_at, made.others_refreshed_at) == (NOW, later)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_deleted_list_takes_no_command(name: str) -> None:
    track_list = a_list_of("AB")
    track_list.delete(at=NOW)
    track_list.collect_events()
    with pytest.raises(DeletedError):
        COMMANDS[name](track_list)
    assert not track_list.collect_events()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("abc", 3),
        ("e\u0301", 1),
        ("\U0001f469\u200d\U0001f3a4", 1),
        ("\U0001f44d\U0001f3fd", 1),
        ("\u0301", 1),
        ("\U0001f1e8\U0001f1ed\U0001f1e9\U0001f1ea", 2),
        ("\u2764\ufe0f!", 2),
        ("", 0),
    ],
)
def test_graphemes_are_what_readers_take_for_characters(text: str, count: int) -> None:
    assert graphemes(text) == count


def test_a_name_has_at_most_64_graphemes_and_256_bytes() -> None:
    assert checked_list_name(" Name ") == "Name"
    assert checked_list_name("é" * 64) == "é" * 64
    for refused in ("", "  ", "\u200b", "x" * 65, "\U0001f469\u200d\U0001f3a4" * 24):
        with pytest.raises(InvalidFieldError):
            checked_list_name(refused)


def test_a_slug_is_made_of_the_letters_of_a_name() -> None:
    assert [slug_of(each) for each in ("Café del Mar!", "Мир", "!!!", "A__b")] == [
        "café-del-mar",
        "мир",
        "album",
        "a__b",
    ]
    assert checked_slug("café-del-mar") == "café-del-mar"
    for refused in ("", "Upper", "a b", "-a"):
        with pytest.raises(InvalidFieldError):
            checked_slug(refused)


def test_a_release_date_is_a_day() -> None:
    assert (checked_release_date("2026-11-30"), checked_release_date("")) == ("2026-11-30", None)
    for refused in ("2026", "2026-13-01", "tomorrow"):
        with pytest.raises(InvalidFieldError):
            checked_release_date(refused)
