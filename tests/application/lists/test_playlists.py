"""Playlists, and what holds for all lists."""

import pytest

from aggregates.errors import NotInListError
from aggregates.values import ListType, Visibility
from application.errors import (
    TrackNotFoundError,
    VersionMismatchError,
)
from application.lists.commands import (
    Entry,
)
from tests.application.lists.account import ELSEWHERE, Account, of
from tests.dsl import BOB
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


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
