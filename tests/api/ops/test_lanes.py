"""Lanes, as operators and owners see them."""

from outbox.mirror.lanes import park_lane
from tests.api.ops.requests import read, rejected
from tests.api.world import upload
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE


def test_lanes_are_listed_page_by_page_with_what_waits(world, client, admin, alice, bob):
    upload(client, alice, seed=1)
    upload(client, bob, seed=2)
    with world.database.write() as connection:
        park_lane(connection, bob.did)
    first = read(client, admin, "/ops/lanes", limit=1)
    second = read(client, admin, "/ops/lanes", limit=100, cursor=first["cursor"])
    lanes = {lane["did"]: lane for lane in first["items"] + second["items"]}
    assert second["cursor"] is None
    assert (lanes[alice.did]["state"], lanes[alice.did]["waiting"]) == ("ready", {"pending": 1})
    assert (lanes[bob.did]["state"], lanes[bob.did]["waiting"]) == ("auth_required", {"parked": 1})
    assert read(client, admin, "/ops/lanes", did=bob.did)["items"] == [lanes[bob.did]]
    parked = read(client, admin, "/ops/lanes", state="auth_required", host=HOST)["items"]
    assert [lane["did"] for lane in parked] == [bob.did]


@ON_SQLITE
def test_nothing_drains_where_all_that_waits_was_rejected(world, client, alice):
    rejected(world, client, alice, 1)
    lane = read(client, alice, "/me/mirror")
    assert (lane["waiting"], lane["drains_in"], lane["stalled_by"]) == ({"rejected": 1}, None, "rejected")
    upload(client, alice, seed=2)
    lane = read(client, alice, "/me/mirror")
    assert (lane["drains_in"] > 0, lane["stalled_by"]) == (True, None)


def test_an_owner_sees_its_lane_what_waits_and_until_when(world, client, alice):
    nothing = read(client, alice, "/me/mirror")
    assert (nothing["state"], nothing["waiting"], nothing["drains_in"]) == ("ready", {}, 0.0)
    upload(client, alice, seed=1)
    lane = read(client, alice, "/me/mirror")
    assert (lane["reason"], lane["waiting"], lane["waiting_by_class"]) == (None, {"pending": 1}, {"edit": 1})
    assert lane["drains_in"] > 0
    assert lane["next_attempt_at"] is not None
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    lane = read(client, alice, "/me/mirror")
    assert (lane["state"], lane["reason"], lane["waiting"]) == (
        "auth_required",
        "auth_required",
        {"parked": 1},
    )
    assert (lane["next_attempt_at"], lane["drains_in"]) == (None, None)
