"""Three versions of a record: what the log wants, what the PDS confirmed last, and what it has now."""

import asyncio

import pytest

from tests.api.ops.requests import read
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(world, client, alice):
    track = upload(client, alice, title="first", album="one")
    world.deliver()
    return track


def compare(client, person, track):
    return read(client, person, f"/tracks/{track['id']}/mirror/compare")


def differing(found):
    return {
        each["field"]: (each["wanted"], each["confirmed"], each["present"])
        for each in found["fields"]
        if each["differs"]
    }


def reads(world):
    return world.pds.requests.count("getRecord")


def test_a_delivered_record_is_the_same_three_times(world, client, alice, track):
    found = compare(client, alice, track)
    assert differing(found) == {}
    assert {each["field"]: each["present"] for each in found["fields"]} == {
        name: value for name, value in world.record(track).items() if name != "mastertapeGen"
    }
    assert found["present"]["problem"] is None
    assert found["present"]["cid"] == found["confirmed"]["cid"] is not None
    assert found["confirmed"]["generation"] == found["wanted"]["generation"]
    assert found["confirmed"]["rev"]
    assert found["state"] == "delivered"


def test_a_pending_edit_and_another_clients_are_marked(world, client, alice, track):
    client.patch(f"/tracks/{track['id']}", json={"title": "ours"}, headers=alice.headers)
    uri = track["atproto_record_uri"]
    world.pds.records[uri] = {**world.record(track), "title": "theirs", "mood": ["calm"]}
    found = compare(client, alice, track)
    assert differing(found) == {
        "title": ("ours", "first", "theirs"),
        "mood": (["calm"], None, ["calm"]),  # other clients' fields stay
    }
    assert [each["field"] for each in found["fields"] if not each["own"]] == ["mood"]


def test_deleted_records_have_no_fields(world, client, alice, track):
    del world.pds.records[track["atproto_record_uri"]]
    gone = compare(client, alice, track)
    assert (gone["present"]["cid"], gone["present"]["problem"]) == (None, None)
    assert differing(gone)["title"] == ("first", "first", None)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    unwanted = compare(client, alice, track)
    assert unwanted["wanted"]["op"] == "delete"
    assert differing(unwanted)["title"] == (None, "first", None)


def test_of_a_pds_that_does_not_answer_the_other_two_versions_are_shown(world, client, alice, track):
    client.patch(f"/tracks/{track['id']}", json={"title": "ours"}, headers=alice.headers)
    world.pds.away = True
    found = compare(client, alice, track)
    assert found["present"]["cid"] is None
    assert found["present"]["problem"]
    assert differing(found) == {"title": ("ours", "first", None)}


def test_a_pds_that_asked_for_a_pause_is_not_asked(world, client, alice, track):
    other = upload(client, alice, seed=2)
    world.deliver()
    world.pds.replies["getRecord"] = (429, {"retry-after": "60"})
    assert compare(client, alice, track)["present"]["problem"]
    before = reads(world)
    assert compare(client, alice, other)["present"]["problem"].startswith("left_alone")
    assert reads(world) == before


def test_a_record_is_read_once_in_a_few_seconds_unless_a_newer_one_was_confirmed(world, client, alice, track):
    before = reads(world)
    for _ in range(3):
        compare(client, alice, track)
    assert reads(world) == before + 1
    client.patch(f"/tracks/{track['id']}", json={"title": "newer"}, headers=alice.headers)
    world.deliver()
    assert differing(compare(client, alice, track)) == {}


def test_of_a_pds_that_hangs_few_records_are_read_at_once(world, client, alice, monkeypatch):
    monkeypatch.setattr("outbox.repo.reads.READ_TIMEOUT_SECONDS", 0.5)
    tracks = [upload(client, alice, seed=seed) for seed in range(1, 5)]
    world.deliver()
    world.pds.hanging = True
    get, under_way, most = world.services.pds.get, set(), []

    async def counted(host, key):
        under_way.add(key)
        most.append(len(under_way))
        try:
            return await get(host, key)
        finally:
            under_way.remove(key)

    monkeypatch.setattr(world.services.pds, "get", counted)

    async def all_at_once():
        async with world.async_client(alice) as asking:
            return await asyncio.gather(
                *(asking.get(f"/tracks/{track['id']}/mirror/compare") for track in tracks)
            )

    answers = [answer.json() for answer in asyncio.run(all_at_once())]
    assert {answer["present"]["problem"].split(":")[0] for answer in answers} == {"timeout"}
    assert max(most) == 2
