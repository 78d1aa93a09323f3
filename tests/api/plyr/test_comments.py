"""Comments by the clients of the peer, and the pictures of people in what they read."""

import pytest

from tests.api.comments.test_comments import open_to_comments, turn
from tests.api.plyr.writing import both
from tests.api.test_profile_record import set_picture
from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(client, world, alice):
    return open_to_comments(client, world, alice)


def say(client, person, track, text="Yes!", timestamp_ms=1500):
    said = {"text": text, "timestamp_ms": timestamp_ms}
    return client.post(f"/plyr/tracks/{track['id']}/comments", json=said, headers=person.headers)


def change(client, method, person, comment, **sent):
    path = f"/plyr/tracks/comments/{comment['id']}"
    return client.request(method, path, headers=person.headers, **sent)


def listed(client, track):
    return client.get(f"/plyr/tracks/{track['id']}/comments").json()


def test_comments_are_made_edited_deleted_and_listed_in_the_order_of_the_audio(client, world, bob, track):
    answer = say(client, bob, track, timestamp_ms=2000)
    later = answer.json()
    assert (answer.status_code, later) == (
        200,
        {
            "id": later["id"],
            "user_did": bob.did,
            "user_handle": "bob.test",
            "user_display_name": "Bob",
            "user_avatar_url": None,
            "text": "Yes!",
            "timestamp_ms": 2000,
            "created_at": later["created_at"],
            "updated_at": None,
        },
    )
    earlier = say(client, bob, track, "Intro", 0).json()
    world.carry()
    assert listed(client, track) == {"comments": [earlier, later], "count": 2, "comments_enabled": True}
    assert client.get(f"/plyr/tracks/{track['id']}").json()["comment_count"] == 2

    edited = change(client, "PATCH", bob, later, json={"text": "No!"}).json()
    assert (edited["text"], edited["timestamp_ms"]) == ("No!", 2000)
    assert edited["updated_at"] is not None
    deleted = change(client, "DELETE", bob, earlier)
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": True})
    assert listed(client, track)["comments"] == [edited]


def test_what_is_refused_is_said_in_the_peers_words(*, client, world, alice, bob, track):
    comment, without_record = say(client, bob, track).json(), upload(client, alice, seed=2)
    assert both(say(client, bob, without_record))[:2] == (422, "missing_atproto_record")
    assert both(change(client, "PATCH", alice, comment, json={"text": "x"})) == (
        403,
        "not_owner",
        "can only edit your own comments",
    )
    assert both(change(client, "DELETE", alice, comment)) == (
        403,
        "not_owner",
        "can only delete your own comments",
    )
    missing = change(client, "DELETE", bob, {"id": track["id"]})
    assert both(missing) == (404, "comment_not_found", "comment not found")
    assert both(say(client, bob, track, ""))[:2] == (400, "invalid_field")
    turn(client, alice, False)
    assert both(say(client, bob, track)) == (
        403,
        "comments_off",
        "comments are disabled for this artist's tracks",
    )
    world.carry()
    assert listed(client, track) == {"comments": [], "count": 0, "comments_enabled": False}


def test_the_picture_of_a_profile_is_shown_wherever_the_peer_shows_people(
    *, client, world, alice, bob, track
):
    picture = set_picture(client, alice, samples.png()).json()["avatar_url"]
    comment = say(client, alice, track).json()
    client.post(f"/plyr/tracks/{track['id']}/like", headers=alice.headers)
    upload(client, bob, seed=2, features=["alice.test"])
    world.carry()
    shown = client.get("/plyr/tracks/").json()["tracks"]
    pictures = [
        (each["artist_avatar_url"], [who["avatar_url"] for who in each["features"]]) for each in shown
    ]
    assert pictures == [(None, [picture]), (picture, [])]
    [artist] = client.get("/plyr/search/?q=alice.test&type=artists").json()["results"]
    [user] = client.get(f"/plyr/tracks/{track['id']}/likes").json()["users"]
    assert comment["user_avatar_url"] == artist["avatar_url"] == user["avatar_url"] == picture
