"""A record that only the PDS knows to be in the old collection: restore-record refuses, and migrate-namespace moves it."""

import pytest

from tests.api.records.record_commands import client, command, lost, uploaded
from tests.api.world import refusal
from tests.dsl import COLLECTION, OLD_COLLECTION, a_track
from tests.outbox.rigs.relay_rig import ARTIST
from tests.servers.databases import ON_SQLITE

__all__ = ["client"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]
RESTORE, MOVE = "restore-record", "migrate-namespace"
THEIRS = {"com.example.mood": "blue"}


def old_uri(track):
    return track["atproto_record_uri"].replace(COLLECTION, OLD_COLLECTION)


def copy_to_old_collection(world, track, **fields):
    """Another client has put the record into the old collection, under the same key."""
    record = {**world.record(track), "$type": OLD_COLLECTION, **fields}
    world.pds.records[old_uri(track)] = record
    return record


async def left_behind(world, client, person, **fields):
    """A track whose record is in the old collection alone, while the log says that it is in the new one."""
    track = await uploaded(client, person)
    await world.relay.run_once()
    copy_to_old_collection(world, track, **THEIRS, **fields)
    del world.pds.records[track["atproto_record_uri"]]
    return track


async def asked_while_nothing_answers(world, client, track, name):
    world.pds.away = True
    answer = await command(world, client, track, name, relay=False)
    world.pds.away = False
    return answer


async def test_a_record_that_the_old_collection_holds_is_not_restored(world, client, alice):
    track = await left_behind(world, client, alice)
    before, records = world.state(), dict(world.pds.records)
    answer = await command(world, client, track, RESTORE)
    assert refusal(answer) == (409, "migration_needed")
    assert answer.json()["detail"]["old_collection"] == OLD_COLLECTION
    assert (world.state(), dict(world.pds.records)) == (before, records)


async def test_a_record_of_another_track_in_the_old_collection_is_none_of_this_one(world, client, alice):
    track = await lost(world, client, alice)
    rkey = track["atproto_record_uri"].rsplit("/", 1)[1]
    with world.log.unit_of_work(alice.did, ARTIST) as unit:
        unit.save(a_track(99, did=alice.did, collection=OLD_COLLECTION, rkey=rkey))
    await world.relay.run_once()
    other = world.pds.records[old_uri(track)]
    await command(world, client, track, MOVE)
    assert world.events(track["id"]) == ["Created"]
    assert (await command(world, client, track, RESTORE)).status_code == 200
    assert (world.record(track)["title"], world.pds.records[old_uri(track)]) == ("t", other)


@pytest.mark.parametrize(("keep", "title"), [("ours", "t"), ("theirs", "theirs")])
async def test_other_values_in_the_old_collection_are_held_until_their_owner_decides(
    world, client, alice, keep, title
):
    track = await left_behind(world, client, alice, title="theirs")
    answer = await command(world, client, track, MOVE)
    assert (answer.status_code, answer.json()["reason"]) == (202, "foreign_edit")
    path = f"/tracks/{track['id']}/mirror"
    conflict = (await client.get(path)).json()["conflict"]
    assert (conflict["record_uri"], conflict["fields"]) == (old_uri(track), ["title"])
    assert world.pds.records[old_uri(track)]["title"] == "theirs"
    await client.post(f"{path}/resolve", json={"keep": keep})
    await world.relay.run_once()
    assert set(world.pds.records) == {track["atproto_record_uri"]}
    assert (world.record(track) | {"title": title, **THEIRS}) == world.record(track)
    assert (await client.get(path)).json()["state"] == "delivered"


async def test_a_look_beyond_the_rate_limit_is_not_answered(world, client, alice):
    track = await left_behind(world, client, alice)
    world.pds.replies["getRecord"] = (429, {"retry-after": "1"})
    answer = await command(world, client, track, RESTORE, relay=False)
    assert (answer.status_code, world.events(track["id"])) == (202, ["Created", "RecordRestored"])


async def test_a_move_whose_look_is_not_answered_is_made_later_with_others_fields(world, client, alice):
    track = await left_behind(world, client, alice)
    answer = await asked_while_nothing_answers(world, client, track, MOVE)
    assert (answer.status_code, answer.json()["migrated_uri"]) == (202, None)
    await world.relay.run_once()
    assert set(world.pds.records) == {track["atproto_record_uri"]}
    assert THEIRS.items() <= world.record(track).items()


async def test_restoring_again_while_the_pds_is_away_promises_nothing(world, client, alice):
    track = await lost(world, client, alice)
    await command(world, client, track, RESTORE)
    del world.pds.records[track["atproto_record_uri"]]
    answer = await asked_while_nothing_answers(world, client, track, RESTORE)
    assert (answer.status_code, answer.json()["success"]) == (202, False)
    await world.relay.run_once()
    assert world.record(track)
