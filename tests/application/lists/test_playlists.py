"""Playlists, and what holds for all lists."""

import pytest

from aggregates.errors import AlreadyInListError, NotInListError, TooManyItemsError
from aggregates.values import ListType, Visibility
from application.errors import (
    ListNotFoundError,
    NotOwnerError,
    RecordNotReadError,
    TrackNotFoundError,
    VersionMismatchError,
)
from application.lists.commands import (
    Entry,
)
from tests.application.lists.account import ELSEWHERE, Account, of
from tests.dsl import BOB


def test_a_playlist_has_tracks_of_anybody(alice: Account, bob: Account) -> None:
    alice.uploads(1, album="Album")
    track = bob.uploads(2)
    bob.confirmed(2, "bafybob")
    entries = [*of(2, did=BOB), Entry(uri=ELSEWHERE, cid="bafyelsewhere"), *of(1)]
    made = alice.creates("List", *entries, of=ListType.PLAYLIST)
    assert [item.cid for item in made.items] == ["bafybob", "bafyelsewhere", None]
    assert made.items[0].uri == f"at://{BOB}/{track.collection}/{track.rkey}"
    assert alice.texts(1) == ["Album"], "a playlist has nothing to do with texts"
    with pytest.raises(RecordNotReadError):
        alice.adds(made.list_id, Entry(uri=ELSEWHERE + "2"))
    with pytest.raises(AlreadyInListError):
        alice.adds(made.list_id, Entry(uri=made.items[0].uri))


def test_entries_are_named_by_track_or_uri(alice: Account, bob: Account) -> None:
    bob.uploads(1)
    alice.uploads(2)
    made = alice.creates(
        "List", *of(1, did=BOB), *of(2), Entry(uri=ELSEWHERE, cid="bafy"), of=ListType.PLAYLIST
    )
    uris = [item.uri for item in made.items]
    order = alice.moves(made.list_id, Entry(uri=ELSEWHERE), *of(1, did=BOB))
    assert [item.uri for item in order.items] == [uris[2], uris[0], uris[1]]
    order = alice.moves(made.list_id, *of(1, did=BOB), None)
    assert [item.uri for item in order.items] == [uris[2], uris[1], uris[0]]
    order = alice.orders(made.list_id, *of(1, did=BOB), Entry(uri=ELSEWHERE), Entry(uri=uris[1]))
    assert [item.uri for item in order.items] == [uris[0], uris[2], uris[1]]
    assert order.items[1].cid == "bafy"
    order = alice.removes(made.list_id, *of(1, did=BOB))
    with pytest.raises(NotInListError):
        alice.removes(made.list_id, *of(1, did=BOB))
    with pytest.raises(TrackNotFoundError):
        alice.removes(made.list_id, *of(99))


def test_a_private_playlist_is_as_new_when_it_becomes_public(alice: Account) -> None:
    alice.uploads(1)
    made = alice.creates("List", *of(1), of=ListType.PLAYLIST, visibility=Visibility.PRIVATE)
    assert not made.wants_record
    alice.confirmed(1, "bafynewer")
    made = alice.edits(made.list_id, visibility=Visibility.PUBLIC)
    assert made.wants_record
    assert [item.cid for item in made.items] == ["bafynewer"]


def test_a_command_that_was_decided_on_another_version_is_refused(alice: Account) -> None:
    made = alice.creates("List", of=ListType.PLAYLIST)
    alice.edits(made.list_id, description="Words")
    with pytest.raises(VersionMismatchError):
        alice.orders(made.list_id, versions=frozenset({1}))
    alice.orders(made.list_id, versions=frozenset({2}))


def test_the_lists_of_others_are_out_of_reach(alice: Account, bob: Account) -> None:
    public = alice.creates("List", of=ListType.PLAYLIST)
    private = alice.creates("Own", of=ListType.PLAYLIST, visibility=Visibility.PRIVATE)
    for step in (bob.deletes, bob.undeletes, lambda each: bob.edits(each, description="x")):
        with pytest.raises(NotOwnerError):
            step(public.list_id)
        with pytest.raises(ListNotFoundError):
            step(private.list_id)


def test_a_list_that_is_too_long_is_not_made(alice: Account) -> None:
    entries = [Entry(uri=f"at://did:plc:e/fm.plyr.track/{number}", cid="bafy") for number in range(501)]
    with pytest.raises(TooManyItemsError):
        alice.creates("List", *entries, of=ListType.PLAYLIST)
    made = alice.creates("List", *entries[:500], of=ListType.PLAYLIST)
    assert len(made.items) == 500
    with pytest.raises(AlreadyInListError):
        alice.creates("Twice", entries[0], entries[0], of=ListType.PLAYLIST)
