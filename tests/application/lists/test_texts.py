"""A track whose text names an album is in that."""

from aggregates.values import ListType
from tests.application.lists.account import Account, ids_of, lists_tracks, of
from tests.dsl import LISTS
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_a_text_puts_its_track_at_the_end_of_an_album_that_is_made_if_need_be(alice: Account) -> None:
    alice.uploads(1, 2, album="Album")
    alice.uploads(3)
    alice.sets_text(3, "Album")
    assert alice.albums() == {"Album": [1, 2, 3]}
    [made] = [alice.loaded(each) for each in ids_of(alice)]
    assert (made.record_requested, made.wants_record, made.collection) == (False, False, LISTS)


def test_a_text_takes_its_track_out_of_the_album_before(alice: Account) -> None:
    alice.uploads(1, 2)
    alice.creates("First", *of(1, 2))
    alice.sets_text(1, "Second")
    assert alice.albums() == {"First": [2], "Second": [1]}
    alice.sets_text(1, "First")
    assert alice.albums() == {"First": [2, 1]}, "what texts made goes with its last track"
    alice.sets_text(1, None)
    alice.sets_text(2, None)
    assert alice.albums() == {"First": []}, "what its owner saved stays"


def test_an_album_of_texts_has_a_record_once_its_owner_saves_it(alice: Account) -> None:
    alice.uploads(1, album="Album")
    alice.confirmed(1, "bafyone")
    [list_id] = ids_of(alice)
    made = alice.edits(list_id, description="Words")
    assert made.wants_record
    assert [item.cid for item in made.items] == ["bafyone"]


def test_a_title_that_no_record_can_have_waits_until_it_is_shortened(alice: Account) -> None:
    alice.uploads(1, album="x" * 65)
    [list_id] = ids_of(alice)
    assert not alice.edits(list_id, description="Words").wants_record
    assert alice.edits(list_id, name="Short").wants_record
    assert alice.texts(1) == ["Short"]


def test_a_deleted_track_comes_back_to_its_place_or_to_an_album_of_its_text(alice: Account) -> None:
    alice.uploads(1, 2, 3)
    made = alice.creates("Album", *of(1, 2, 3))
    alice.deletes_track(2)
    alice.undeletes_track(2)
    assert alice.albums() == {"Album": [1, 2, 3]}
    alice.deletes_track(2)
    alice.deletes(made.list_id)
    alice.undeletes_track(2)
    assert (alice.albums(), alice.texts(1, 2)) == ({"Album": [2]}, [None, "Album"])


def test_an_order_keeps_a_track_that_is_deleted_behind_what_it_followed(alice: Account) -> None:
    alice.uploads(1, 2, 3)
    made = alice.creates("List", *of(1, 2, 3), of=ListType.PLAYLIST)
    alice.deletes_track(2)
    alice.orders(made.list_id, *of(3, 1))
    assert len(alice.orders(made.list_id, *of(3)).items) == 2, "what was taken out is out"
    alice.orders(made.list_id, *of(3, 1))
    alice.undeletes_track(2)
    found = alice.loaded(made.list_id)
    with alice.log.database.read() as connection:
        assert lists_tracks(connection, found) == [3, 2, 1]
