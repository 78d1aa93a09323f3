"""Playlists over HTTP: tracks of anybody, public ones with a record, private ones without."""

import asyncio
from dataclasses import dataclass, field

import pytest

from api.pipeline import list_entries
from identity.errors import UnknownIdentityError
from tests.api.lists.requests import create, ids, read
from tests.api.world import did_of, refusal, upload
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
ELSEWHERE = f"at://{did_of('carol')}/fm.plyr.track/3kabc"


@dataclass
class Directory:
    async def pds_of(self, did):
        if did == did_of("nobody"):
            raise UnknownIdentityError(did)
        return HOST


@pytest.fixture
def client(world):
    with world.serve(resolver=Directory()) as client:
        yield client


def playlist(client, person, *tracks, **fields):
    return create(client, person, *tracks, path="/playlists", **{"name": "List", **fields})


def test_a_playlist_has_tracks_of_several_artists(world, client, alice, bob):
    tracks = [upload(client, bob, seed=1), upload(client, alice, seed=2, album="Album")]
    world.deliver()
    made = playlist(client, alice, *tracks)
    assert (made["name"], made["visibility"], ids(made)) == (
        "List",
        "public",
        [each["id"] for each in tracks],
    )
    world.deliver()
    record = world.pds.records[made["uri"]]
    assert (record["listType"], len(record["items"])) == ("playlist", 2)
    assert client.get(f"/tracks/{tracks[1]['id']}").json()["album"] == "Album"


def test_a_private_playlist_has_no_record_and_is_its_owners_alone(world, client, alice, bob, admin):
    made = playlist(client, alice, visibility="private")
    assert (made["uri"], made["cid"], made["mirror"]) == (None, None, None)
    world.deliver()
    assert world.pds.records == {}
    path = f"/playlists/{made['id']}"
    assert client.get(path, headers=alice.headers).status_code == 200
    for other in ({}, bob.headers, admin.headers):
        assert refusal(client.get(path, headers=other)) == (404, "list_not_found")
    assert refusal(client.patch(path, json={"name": "x"}, headers=bob.headers)) == (404, "list_not_found")
    assert refusal(client.get(f"{path}/history", headers=bob.headers)) == (404, "list_not_found")
    of_artist = f"/artists/{alice.did}/playlists"
    assert client.get(of_artist).json()["items"] == []
    assert len(client.get(of_artist, headers=alice.headers).json()["items"]) == 1
    secret = client.patch(path, json={"visibility": "secret"}, headers=alice.headers)
    assert refusal(secret) == (400, "invalid_field")
    shown = client.patch(path, json={"visibility": "public"}, headers=alice.headers).json()
    world.deliver()
    assert set(world.pds.records) == {shown["uri"]}
    hidden = client.patch(path, json={"visibility": "private"}, headers=alice.headers).json()
    world.deliver()
    assert (hidden["uri"], world.pds.records) == (None, {})


def test_a_record_that_is_not_here_is_read_from_its_pds(world, client, alice):
    world.pds.records[ELSEWHERE] = {"$type": "fm.plyr.track", "title": "Theirs"}
    made = playlist(client, alice)
    path = f"/playlists/{made['id']}/tracks"
    added = client.post(path, json={"uri": ELSEWHERE}, headers=alice.headers).json()
    assert added["tracks"] == [
        {"track_id": None, "uri": ELSEWHERE, "title": None, "artist": None, "gone": False}
    ]
    world.deliver()
    [item] = world.pds.records[made["uri"]]["items"]
    assert item["subject"]["uri"] == ELSEWHERE
    for unknown in (f"{ELSEWHERE}z", f"at://{did_of('nobody')}/fm.plyr.track/3kabc"):
        answer = client.post(path, json={"uri": unknown}, headers=alice.headers)
        assert refusal(answer) == (409, "record_not_read")
    left = client.delete(path, params={"uri": ELSEWHERE}, headers=alice.headers).json()
    assert left["tracks"] == []


@dataclass
class Meeting(Directory):
    """Answers when two are asked for at a time."""

    both: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(2))

    async def pds_of(self, did):
        await self.both.wait()
        return await super().pds_of(did)


def test_records_that_are_not_here_are_read_side_by_side(world, alice):
    elsewhere = [ELSEWHERE, f"{ELSEWHERE}z"]
    for uri in elsewhere:
        world.pds.records[uri] = {"$type": "fm.plyr.track"}
    with world.serve(resolver=Meeting()) as client:
        entries = [{"uri": uri} for uri in elsewhere]
        made = client.post("/playlists", json={"name": "List", "tracks": entries}, headers=alice.headers)
    assert [each["uri"] for each in made.json()["tracks"]] == elsewhere


def test_records_that_are_not_read_in_time_are_refused(world, alice, monkeypatch):
    monkeypatch.setattr(list_entries, "READS_TIMEOUT_SECONDS", 0.1)
    with world.serve(resolver=Meeting()) as client:
        answer = client.post(
            "/playlists", json={"name": "List", "tracks": [{"uri": ELSEWHERE}]}, headers=alice.headers
        )
    assert refusal(answer) == (409, "record_not_read")


def test_a_list_of_others_tracks_says_that_it_is_behind_or_does_not_follow(world, client, alice, bob):
    track = upload(client, bob)
    world.deliver()
    made = playlist(client, alice, track)
    still = playlist(client, alice, track, name="Still", follow=False)
    world.deliver()
    client.patch(f"/tracks/{track['id']}", json={"title": "New"}, headers=bob.headers)
    world.deliver()
    states = [read(client, each, path="/playlists")["mirror"]["references"] for each in (made, still)]
    assert [each["state"] for each in states] == ["behind", "unfollowed"]
    assert all(each["since"] for each in states)


def test_too_many_tracks_are_refused(client, alice):
    def create(number):
        entries = [{"uri": f"at://{did_of('carol')}/fm.plyr.track/{each}"} for each in range(number)]
        return client.post("/playlists", json={"name": "List", "tracks": entries}, headers=alice.headers)

    assert refusal(create(21)) == (400, "invalid_field")
    assert refusal(create(501)) == (400, "too_many_items")
    assert create(501).json()["detail"]["limit"] == 500


def test_an_order_of_too_many_records_from_elsewhere_is_too_many_items(client, alice):
    made = playlist(client, alice)
    entries = [{"uri": f"at://{did_of('carol')}/fm.plyr.track/{each}"} for each in range(501)]
    headers = {**alice.headers, "If-Match": f'"{made["version"]}"'}
    answer = client.put(f"/playlists/{made['id']}/tracks", json={"tracks": entries}, headers=headers)
    assert refusal(answer) == (400, "too_many_items")
    assert answer.json()["detail"]["limit"] == 500


def test_lists_are_not_offered_where_no_login_allows_them(client, world, alice):
    made = playlist(client, alice)
    with world.serve(offers=lambda collection: collection != "fm.plyr.list") as limited:
        answer = limited.post("/playlists", json={"name": "List"}, headers=alice.headers)
        assert refusal(answer) == (501, "not_offered")
        answer = limited.patch(f"/playlists/{made['id']}", json={"name": "Other"}, headers=alice.headers)
        assert refusal(answer) == (501, "not_offered")
        assert limited.delete(f"/playlists/{made['id']}", headers=alice.headers).status_code == 200
