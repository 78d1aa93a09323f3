"""A deleted track leaves its owner's lists and comes back to its place; in lists of others it stays, shown as gone."""

import pytest
from sqlalchemy import select

from outbox.lists.items import list_follower
from tests.api.account_deletion.deletion import is_deleted
from tests.api.lists.requests import create, ids, read
from tests.api.tracks.takedown import decide
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def tracks(world, client, alice):
    made = [upload(client, alice, seed=seed) for seed in (1, 2, 3)]
    world.deliver()
    return made


def records(world, made):
    return [item["subject"]["uri"] for item in world.pds.records[made["uri"]]["items"]]


def shown(client, made, path, person=None):
    entries = read(client, made, person, path)["tracks"]
    return [(entry["track_id"], entry["gone"]) for entry in entries]


def settle(world):
    world.deliver()
    world.carry()
    world.deliver()


@pytest.mark.parametrize("path", ["/albums", "/playlists"])
def test_it_leaves_its_owners_lists_and_undelete_puts_it_back(world, client, alice, tracks, path):
    made = create(client, alice, *tracks, path=path)
    world.deliver()
    before, version = records(world, made), read(client, made, path=path)["version"]
    client.delete(f"/tracks/{tracks[1]['id']}", headers=alice.headers)
    assert ids(read(client, made, alice, path)) == [tracks[0]["id"], tracks[2]["id"]]
    [row] = client.get(f"/artists/{alice.did}{path}").json()["items"]
    assert row["track_count"] == read(client, made, path=path)["track_count"] == 2
    world.deliver()
    assert records(world, made) == [before[0], before[2]]

    answer = client.post(f"/tracks/{tracks[1]['id']}/undelete", headers=alice.headers)
    assert answer.status_code == 200
    assert ids(read(client, made, path=path)) == [track["id"] for track in tracks]
    settle(world)
    assert records(world, made) == before
    assert read(client, made, path=path)["version"] == version


def test_what_its_owner_does_meanwhile_leaves_its_place(client, alice, tracks):
    made = create(client, alice, *tracks)
    client.delete(f"/tracks/{tracks[1]['id']}", headers=alice.headers)
    path = f"/albums/{made['id']}/tracks"
    moved = client.patch(
        path,
        json={"track_id": tracks[2]["id"], "before": {"track_id": tracks[0]["id"]}},
        headers=alice.headers,
    )
    assert ids(moved.json()) == [tracks[2]["id"], tracks[0]["id"]]
    client.post(f"/tracks/{tracks[1]['id']}/undelete", headers=alice.headers)
    assert ids(read(client, made)) == [tracks[2]["id"], tracks[0]["id"], tracks[1]["id"]]


def test_it_stays_in_lists_of_others_as_gone(world, client, alice, bob, tracks):
    made = create(client, bob, *tracks, path="/playlists")
    settle(world)
    before = records(world, made)
    client.delete(f"/tracks/{tracks[1]['id']}", headers=alice.headers)
    settle(world)
    everything = [(track["id"], track is tracks[1]) for track in tracks]
    assert shown(client, made, "/playlists") == everything
    body = read(client, made, path="/playlists")
    assert (body["tracks"][1]["title"], body["track_count"], body["mirror"]["references"]["state"]) == (
        None,
        3,
        "current",
    )
    assert records(world, made) == before
    client.post(f"/tracks/{tracks[1]['id']}/undelete", headers=alice.headers)
    settle(world)
    assert shown(client, made, "/playlists") == [(track["id"], False) for track in tracks]
    assert records(world, made) == before


def test_what_is_taken_down_is_gone_for_all_but_its_artist(*, world, client, alice, bob, admin, tracks):
    album, playlist = create(client, alice, *tracks), create(client, bob, *tracks, path="/playlists")
    settle(world)
    assert decide(client, admin, tracks[1]).status_code == 200
    settle(world)
    gone = [(track["id"], track is tracks[1]) for track in tracks]
    there = [(track["id"], False) for track in tracks]
    for made, of, person, expected in (
        (album, "/albums", None, gone),
        (album, "/albums", alice, there),
        (playlist, "/playlists", None, gone),
        (playlist, "/playlists", bob, gone),
    ):
        assert shown(client, made, of, person) == expected
    assert len(records(world, album)) == len(records(world, playlist)) == 3, "takedowns concern this service"


def test_the_lists_of_an_account_that_leaves_go_with_it(world, client, bob, tracks):
    own = upload(client, bob, seed=4, album="Texts")
    world.deliver()
    public = create(client, bob, *tracks, own, path="/playlists")
    private = create(client, bob, *tracks, path="/playlists", name="Own", visibility="private")
    album = client.get(f"/artists/{bob.did}/albums").json()["items"][0]
    settle(world)
    assert len(world.rows(select(list_follower))) == 3
    is_deleted(world, client, bob)
    settle(world)
    assert not [uri for uri in world.pds.records if bob.did in uri]
    assert world.rows(select(list_follower)) == []
    for made, path in ((public, "/playlists"), (private, "/playlists"), (album, "/albums")):
        assert client.get(f"{path}/{made['id']}").status_code == 404


def test_the_tracks_of_an_account_that_leaves_are_gone_in_lists_of_others(world, client, alice, bob, tracks):
    made = create(client, bob, *tracks, path="/playlists")
    settle(world)
    is_deleted(world, client, alice)
    settle(world)
    assert world.rows(select(list_follower)) == []
    assert shown(client, made, "/playlists") == [(track["id"], True) for track in tracks]
    client.patch(f"/playlists/{made['id']}", json={"name": "New"}, headers=bob.headers)
    settle(world)
    assert len(records(world, made)) == 3
