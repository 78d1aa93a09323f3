"""What others read of a like at its track: it follows in a job, and counts once whatever happens meanwhile."""

import pytest
from sqlalchemy import select

from projections.reactions import carry, likes, locked, reaction, track_count
from tests.api.account_deletion.deletion import is_deleted
from tests.api.likes.test_like import like, read, seen
from tests.api.world import upload


@pytest.fixture
def track(client, world, alice, bob):
    """A track of alice's that bob likes, as all may know."""
    track = upload(client, alice)
    world.deliver()
    like(client, bob, track)
    world.deliver()
    world.carry()
    return track


def likers(client, track):
    return [each["did"] for each in read(client, None, f"/tracks/{track['id']}/likes")["items"]]


def test_a_like_that_is_carried_twice_counts_once(client, world, alice, bob, track):
    with world.database.write() as connection:
        [like_id] = connection.scalars(select(likes.c.like_id))
        carry(connection, alice.did, "like", locked(connection, "like", bob.did, like_id))
    assert seen(client, bob, track) == (True, 1, 0)
    assert likers(client, track) == [bob.did]


def test_of_an_account_that_leaves_no_track_has_a_count(client, world, alice, bob, track):
    second = upload(client, alice, seed=2)
    like(client, bob, second)
    is_deleted(world, client, alice)
    world.carry()
    for table in (reaction, track_count):
        assert world.rows(select(table)) == []
    mine = read(client, bob, "/me/likes")["items"]
    assert [each["track_id"] for each in mine] == [second["id"], track["id"]]
