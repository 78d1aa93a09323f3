"""Albums and the texts of their tracks, which say the same."""

import pytest

from aggregates.values import ListType
from application.errors import (
    NotInAlbumsError,
    TitleTakenError,
    TooManyTracksError,
    TrackNotFoundError,
)
from application.lists import albums
from application.lists.commands import (
    Entry,
)
from storage.errors import MediaGoneError
from tests.application.lists.account import ELSEWHERE, Account, of
from tests.dsl import BOB, some_artwork


def test_the_tracks_of_a_new_album_get_its_text_in_their_order(alice: Account) -> None:
    alice.uploads(1, 2, 3)
    made = alice.creates("Album", *of(3, 1))
    assert alice.albums() == {"Album": [3, 1]}
    assert alice.texts(1, 2, 3) == ["Album", None, "Album"]
    assert (made.slug, made.visibility, made.record_requested, made.wants_record) == (
        "album",
        "public",
        True,
        True,
    )
    assert made.created_at.endswith("Z")


def test_a_title_is_taken_once_by_live_albums(alice: Account, bob: Account) -> None:
    first = alice.creates("Album")
    with pytest.raises(TitleTakenError) as refused:
        alice.creates("Album")
    assert refused.value.album_id == first.list_id
    other = alice.creates("Other")
    with pytest.raises(TitleTakenError):
        alice.edits(other.list_id, name="Album")
    assert alice.creates("Album", of=ListType.PLAYLIST).slug == "album-2"
    bob.creates("Album")
    alice.deletes(first.list_id)
    alice.edits(other.list_id, name="Album")
    with pytest.raises(TitleTakenError):
        alice.undeletes(first.list_id)


def test_an_album_has_tracks_of_its_owner_alone(alice: Account, bob: Account) -> None:
    bob.uploads(1)
    alice.uploads(2)
    made = alice.creates("Album", *of(2))
    for entry in (*of(1, did=BOB), Entry(uri=ELSEWHERE, cid="bafy")):
        with pytest.raises(NotInAlbumsError):
            alice.adds(made.list_id, entry)
    with pytest.raises(TrackNotFoundError):
        alice.adds(made.list_id, *of(99))
    alice.deletes_track(2)
    with pytest.raises(TrackNotFoundError):
        alice.creates("Other", *of(2))


def test_a_track_moves_to_the_album_to_which_it_is_added(alice: Account) -> None:
    alice.uploads(1, 2)
    first, second = alice.creates("First", *of(1, 2)), alice.creates("Second")
    alice.adds(second.list_id, *of(1))
    assert alice.albums() == {"First": [2], "Second": [1]}
    assert alice.texts(1, 2) == ["Second", "First"]
    alice.orders(first.list_id, *of(1, 2))
    assert alice.albums() == {"First": [1, 2], "Second": []}
    assert alice.texts(1, 2) == ["First", "First"]


def test_a_track_that_leaves_its_album_loses_its_text(alice: Account) -> None:
    alice.uploads(1, 2, 3)
    made = alice.creates("Album", *of(1, 2, 3))
    alice.removes(made.list_id, *of(2))
    assert alice.texts(1, 2, 3) == ["Album", None, "Album"]
    alice.orders(made.list_id, *of(3))
    assert (alice.albums(), alice.texts(1, 3)) == ({"Album": [3]}, [None, "Album"])


def test_a_rename_renames_the_text_of_its_tracks(alice: Account) -> None:
    alice.uploads(1, 2)
    made = alice.creates("Old", *of(1, 2))
    renamed = alice.edits(made.list_id, name="New")
    assert (renamed.name, renamed.first_name, renamed.slug) == ("New", "Old", "old")
    assert alice.texts(1, 2) == ["New", "New"]
    assert alice.albums() == {"New": [1, 2]}


def test_more_texts_than_a_unit_may_change_are_refused(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.uploads(1, 2, 3)
    made = alice.creates("Album", *of(1, 2, 3))
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    with pytest.raises(TooManyTracksError) as refused:
        alice.edits(made.list_id, name="New")
    assert (refused.value.number, refused.value.limit) == (3, 2)
    alice.edits(made.list_id, description="Words")
    assert alice.texts(1) == ["Album"]


def test_a_deleted_album_clears_the_text_of_its_tracks_and_undelete_brings_both_back(alice: Account) -> None:
    alice.uploads(1, 2, 3)
    made = alice.creates("Album", *of(3, 2, 1))
    alice.deletes(made.list_id)
    assert (alice.albums(), alice.texts(1, 2, 3)) == ({}, [None, None, None])
    alice.sets_text(2, "Elsewhere")
    alice.undeletes(made.list_id)
    assert alice.albums() == {"Elsewhere": [2], "Album": [3, 1]}
    assert alice.texts(1, 2, 3) == ["Album", "Elsewhere", "Album"]
    assert alice.undeletes(made.list_id).version == alice.loaded(made.list_id).version


def test_a_cover_that_is_gone_is_refused(alice: Account) -> None:
    with pytest.raises(MediaGoneError):
        alice.creates("Album", artwork=some_artwork())
