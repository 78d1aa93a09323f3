"""Likes by the clients of the peer."""

import pytest

from tests.api.plyr.writing import refused
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(client, world, alice):
    track = upload(client, alice)
    world.deliver()
    return track


def send(client, method, person, track):
    return client.request(method, f"/plyr/tracks/{track['id']}/like", headers=person.headers)


def liked(client, person):
    tracks = client.get("/plyr/tracks/liked", headers=person.headers).json()["tracks"]
    assert all(each["is_liked"] for each in tracks)
    return [each["id"] for each in tracks]


def test_what_is_liked_is_listed_newest_first_until_it_is_not(*, client, world, alice, bob, track):
    second = upload(client, alice, seed=2)
    world.deliver()
    for each in (track, second):
        answer = send(client, "POST", bob, each)
        assert (answer.status_code, answer.json()) == (200, {"liked": True})
    assert liked(client, bob) == [second["id"], track["id"]]
    assert liked(client, alice) == []
    answer = send(client, "DELETE", bob, second)
    assert (answer.status_code, answer.json()) == (200, {"liked": False})
    assert liked(client, bob) == [track["id"]]
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert liked(client, bob) == []


def test_a_track_without_a_record_is_not_liked(client, alice, bob):
    track = upload(client, alice)
    assert refused(send(client, "POST", bob, track)) == (422, "missing_atproto_record")
    assert client.get("/me/likes", headers=bob.headers).json()["items"] == []


def test_who_likes_a_track_is_listed_with_their_number(client, world, bob, track):
    send(client, "POST", bob, track)
    world.carry()
    found = client.get(f"/plyr/tracks/{track['id']}/likes").json()
    [user] = found["users"]
    assert (user["did"], user["display_name"], found["count"]) == (bob.did, "Bob", 1)
