"""An account that wants it has a record of its likes, which follows them."""

import pytest

from tests.api.likes.test_like import like, make_due, read
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
PATH = "/me/likes/record"


@pytest.fixture
def tracks(world, client, alice):
    made = [upload(client, alice, seed=seed) for seed in (1, 2, 3)]
    world.deliver()
    return made


def turn(client, person, method="PUT", **headers):
    return client.request(method, PATH, headers={**person.headers, **headers})


def follow(world):
    """The pause after the first like is over."""
    world.carry()
    make_due(world)
    world.carry()
    return world.deliver()


def listed(world, made):
    return [item["subject"]["uri"] for item in world.pds.records[made["uri"]]["items"]]


def test_the_record_lists_the_likes_newest_first_once_it_is_turned_on(world, client, bob, tracks):
    for track in tracks[:2]:
        like(client, bob, track)
    follow(world)
    assert not [uri for uri in world.pds.records if "fm.plyr.list" in uri]
    answer = turn(client, bob)
    made = answer.json()
    assert (answer.status_code, answer.headers["ETag"], made["did"]) == (200, f'"{made["version"]}"', bob.did)
    assert (made["name"], made["track_count"], made["mirror"]["state"]) == ("Liked Tracks", 2, "pending")
    world.deliver()
    assert world.pds.records[made["uri"]]["listType"] == "liked"
    assert listed(world, made) == [tracks[1]["atproto_record_uri"], tracks[0]["atproto_record_uri"]]
    assert turn(client, bob).json()["version"] == made["version"]


def test_many_likes_are_one_write(world, client, bob, tracks):
    made = turn(client, bob).json()
    world.deliver()
    for track in tracks:
        like(client, bob, track)
        world.carry()
    like(client, bob, tracks[1], "DELETE")
    world.carry()
    assert listed(world, made) == []
    follow(world)
    assert listed(world, made) == [tracks[2]["atproto_record_uri"], tracks[0]["atproto_record_uri"]]
    again = turn(client, bob).json()
    assert again["version"] == made["version"] + 1
    with world.database.read() as connection:
        assert not connection.exec_driver_sql("select 1 from job where kind = 'liked_list'").all()


def test_it_is_removed_when_it_is_turned_off_and_has_the_same_key_when_it_is_back(world, client, bob, tracks):
    like(client, bob, tracks[0])
    made = turn(client, bob).json()
    world.deliver()
    for _ in range(2):
        assert turn(client, bob, "DELETE").status_code == 200
    world.deliver()
    assert made["uri"] not in world.pds.records
    like(client, bob, tracks[1])
    follow(world)
    assert made["uri"] not in world.pds.records
    assert len(read(client, bob, "/me/likes")["items"]) == 2
    assert turn(client, bob).json()["uri"] == made["uri"]
    world.deliver()
    assert len(listed(world, made)) == 2


def test_what_was_never_turned_on_cannot_be_turned_off(client, bob):
    assert refusal(turn(client, bob, "DELETE")) == (404, "list_not_found")


def test_another_clients_order_is_written_over_when_it_is_turned_on_again(world, client, bob, tracks):
    for track in tracks:
        like(client, bob, track)
    made = turn(client, bob).json()
    world.deliver()
    record = world.pds.records[made["uri"]]
    world.pds.records[made["uri"]] = {**record, "items": record["items"][::-1]}
    like(client, bob, tracks[0], "DELETE")
    follow(world)
    assert turn(client, bob).json()["mirror"]["state"] in {"pending", "held"}
    world.deliver()
    assert listed(world, made) == [each["atproto_record_uri"] for each in tracks[:0:-1]]


def test_it_is_no_playlist(client, bob):
    made = turn(client, bob).json()
    assert client.get(f"/artists/{bob.did}/playlists").json()["items"] == []
    assert refusal(client.get(f"/playlists/{made['id']}", headers=bob.headers)) == (404, "list_not_found")


def test_it_is_not_offered_where_no_login_allows_it(world, bob):
    with world.serve(offers=lambda collection: collection != "fm.plyr.list") as limited:
        assert refusal(turn(limited, bob)) == (501, "not_offered")
