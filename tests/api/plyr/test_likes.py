"""Likes by the clients of the peer."""

import pytest
from sqlalchemy import update

from projections.reactions import reaction
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


def test_the_top_tracks_are_the_most_liked_of_all_time_or_of_the_last_days(
    *, client, world, alice, bob, track
):
    """Without a like none is, nor is an unlisted one, for its owner either."""
    second, secret, _ = (
        upload(client, alice, seed=2),
        upload(client, alice, seed=3, unlisted="true"),
        upload(client, alice, seed=4),
    )
    world.deliver()
    for person, each in ((alice, track), (bob, track), (bob, second), (alice, secret)):
        assert send(client, "POST", person, each).status_code == 200
    world.carry()
    long_ago = update(reaction).where(reaction.c.track_id == track["id"])
    world.execute(long_ago.values(created_at="2019-05-04T12:03:07Z"))

    def top(query=""):
        answer = client.get(f"/plyr/tracks/top{query}", headers=alice.headers)
        return [(each["id"], each["like_count"]) for each in answer.json()]

    assert top() == top("?limit=500&period=all_time") == [(track["id"], 2), (second["id"], 1)]
    assert top("?limit=0") == [(track["id"], 2)]
    assert top("?period=month") == top("?period=day") == [(second["id"], 1)]
    assert client.get("/plyr/tracks/top?period=year").status_code == 422
