"""The record of a list, and what is read of one that another client wrote."""

from typing import Any

import pytest

from aggregates.errors import InvalidFieldError
from aggregates.values import MAX_ITEMS, ListItem
from outbox.lists.record import ListRecords
from outbox.record.dag_cbor import Record, encode
from outbox.record.kind import LexiconError
from tests.dsl import a_list, some_item

RECORDS = ListRecords()
CID = "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


def item(name: str, **more: Any) -> Record:
    return {"subject": {"uri": some_item(name).uri, "cid": CID}, **more}


def record_of(names: str, **fields: Any) -> Record:
    return {
        "$type": "fm.plyr.list",
        "name": "List 1",
        "listType": "album",
        "items": [item(each) for each in names],
        "createdAt": "2026-11-24T12:00:00.000Z",
        **fields,
    }


def test_a_record_has_the_items_whose_cid_is_known_in_their_order() -> None:
    made = a_list(items=(some_item("B"), some_item("a"), some_item("C")))
    record = RECORDS.record_of(made, 7)
    assert record == {
        "$type": "fm.plyr.list",
        "name": "List 1",
        "listType": "album",
        "items": [{"subject": dict(vars(some_item(each)))} for each in "BC"],
        "createdAt": made.created_at,
        "mastertapeGen": 7,
    }
    RECORDS.lexicon.check(record)


def test_a_list_without_items_or_name_has_a_record_too() -> None:
    record = RECORDS.record_of(a_list(name=None), 7)
    assert (record["items"], "name" in record) == ([], False)
    RECORDS.lexicon.check(record)


def test_a_full_list_keeps_the_limits_of_its_lexicon_and_of_an_old_pds() -> None:
    many = tuple(
        ListItem(f"at://did:plc:{'a' * 24}/fm.plyr.track/3mm{number:010}", CID)
        for number in range(MAX_ITEMS + 1)
    )
    record = RECORDS.record_of(a_list(name="é" * 64, items=many), 7)
    RECORDS.lexicon.check(record)
    assert len(record["items"]) == MAX_ITEMS
    assert len(encode(record)) < 100_000
    with pytest.raises(LexiconError):
        RECORDS.lexicon.check({**record, "items": [*record["items"], item("A")]})


@pytest.mark.parametrize(
    "broken", [{"items": [{"subject": {"uri": some_item("A").uri}}]}, {"items": None}, {"name": "x" * 257}]
)
def test_the_lexicon_refuses_what_is_no_list(broken: Record) -> None:
    with pytest.raises(LexiconError):
        RECORDS.lexicon.check(record_of("A", **broken))


def test_what_other_clients_keep_in_a_list_and_its_items_stays_where_it_is() -> None:
    theirs = record_of("", updatedAt="2026-11-24T12:00:00.000Z", note="theirs")
    theirs["items"] = [
        item("A", note=1),
        item("B"),
        {"subject": {**item("A")["subject"], "note": 3}},
        "no item",
    ]
    ours = RECORDS.record_of(a_list(items=tuple(map(some_item, "BAACA"))), 7)
    merged = RECORDS.merged(ours, theirs)
    assert (merged["updatedAt"], merged["note"], merged["mastertapeGen"]) == (
        theirs["updatedAt"],
        "theirs",
        7,
    )
    assert [each["subject"]["uri"] for each in merged["items"]] == [some_item(each).uri for each in "BAACA"]
    assert [each.get("note") for each in merged["items"]] == [None, 1, None, None, None]
    assert merged["items"][2]["subject"]["note"] == 3
    assert {each["subject"]["cid"] for each in merged["items"]} == {some_item(each).cid for each in "ABC"}


@pytest.mark.parametrize("theirs", [item("B", note=1), {"subject": {**item("B")["subject"], "note": 1}}])
def test_a_field_that_another_client_keeps_in_one_item_alone_stays(theirs: Record) -> None:
    merged = RECORDS.merged(record_of("BA"), record_of("", items=[item("A"), theirs]))
    assert merged["items"] == [theirs, item("A")]


@pytest.mark.parametrize(
    ("theirs", "may"),
    [
        (record_of("ABC"), True),
        (record_of("B"), True),
        (record_of("XAYB"), True),
        (record_of("AB", note="theirs"), False),
        (record_of("BA"), False),
        (record_of("ABC", name="Theirs"), False),
        (record_of("ABC", listType="playlist"), False),
        (record_of("ABC", createdAt="2026-11-25T12:00:00.000Z"), False),
        ({name: value for name, value in record_of("ABC").items() if name != "name"}, False),
        (record_of("AB", items="none"), False),
        (record_of("AB", items=[item("A"), item("B"), {"subject": 1}]), False),
    ],
)
def test_only_added_and_removed_items_are_taken_over(theirs: Record, may: bool) -> None:
    assert RECORDS.may_take_over(record_of("AB"), theirs) is may
    assert not RECORDS.may_take_over({}, theirs), "what was never observed has no base"


@pytest.mark.parametrize("items", [None, "x", [1], [{}], [item("A")] * (MAX_ITEMS + 1)])
def test_items_that_are_none_are_not_adopted(items: Any) -> None:
    _, read = RECORDS.adoptable["items"]
    with pytest.raises(InvalidFieldError):
        read(items)


def test_items_and_name_may_be_adopted_and_a_date_may_not() -> None:
    assert {*RECORDS.adoptable} == {"name", "items"}
    _, read = RECORDS.adoptable["items"]
    assert read([item("A")]) == (ListItem(some_item("A").uri, CID),)
    for refused in (None, 1, "", "x" * 65):
        with pytest.raises(InvalidFieldError):
            RECORDS.adoptable["name"][1](refused)
