"""restore-record, migrate-to-pds and migration/check as the peer's page calls them: it takes every 2xx for done."""

from functools import partial

import pytest

from outbox.mirror.tables import mirror_lane as lane
from tests.api.records.record_commands import client, command, lost, uploaded
from tests.dsl import COLLECTION, OLD_COLLECTION, a_track
from tests.outbox.rigs.relay_rig import ARTIST
from tests.servers.databases import ON_SQLITE

__all__ = ["client"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]
gives = partial(command, under="/plyr")


def sign_out(world, person):
    """End the login at the PDS, as the relay notices it."""
    world.execute(lane.update().where(lane.c.did == person.did).values(state="auth_required"))


async def test_a_record_that_is_there_is_refused_with_the_peers_object(world, client, alice):
    track = await uploaded(client, alice)
    await world.relay.run_once()
    answer = await gives(world, client, track, "restore-record")
    detail = answer.json()["detail"]
    assert (answer.status_code, detail["error"], detail["uri"]) == (
        400, "already_has_record", track["atproto_record_uri"],
    )  # fmt: skip


async def test_what_is_done_is_answered_as_the_peer_does_also_when_it_is_asked_for_again(
    world, client, alice
):
    track = await lost(world, client, alice)
    for _ in range(2):
        restored = await gives(world, client, track, "restore-record")
        assert (restored.status_code, restored.json()["restored_uri"]) == (200, track["atproto_record_uri"])
    copied = await gives(world, client, track, "migrate-to-pds")
    assert (copied.status_code, copied.json()["pds_blob_cid"]) == (200, track["file_id"])
    sign_out(world, alice)
    again = await gives(world, client, track, "migrate-to-pds", relay=False)
    assert again.json()["message"] == "track already has PDS blob"


async def test_a_restoration_that_the_pds_has_not_confirmed_names_the_address_of_the_record(
    world, client, alice
):
    track = await lost(world, client, alice)
    world.pds.away = True
    answer = await gives(world, client, track, "restore-record", relay=False)
    body = answer.json()
    assert (answer.status_code, body["success"]) == (202, False)
    assert body["restored_uri"] == body["track"]["atproto_record_uri"] == track["atproto_record_uri"]
    world.pds.away = False
    await world.relay.run_once()
    assert body["restored_uri"] in world.pds.records


@pytest.mark.parametrize("name", ["restore-record", "migrate-to-pds"])
async def test_without_a_login_nothing_is_recorded_while_our_own_route_records_it(world, client, alice, name):
    track = await lost(world, client, alice)
    sign_out(world, alice)
    before, events = world.state(), world.events(track["id"])
    answer = await gives(world, client, track, name, relay=False)
    assert (answer.status_code, answer.json()["detail"]) == (401, "session_expired")
    assert (world.state(), world.events(track["id"])) == (before, events)
    own = await client.post(f"/tracks/{track['id']}/{name}", headers={"Prefer": "wait=0"})
    assert own.status_code == 202
    assert len(world.events(track["id"])) == len(events) + 1


async def test_the_check_counts_the_records_in_the_old_collection(world, client, alice):
    await uploaded(client, alice)
    found = {
        "needs_migration": False,
        "old_record_count": 0,
        "old_collection": OLD_COLLECTION,
        "new_collection": COLLECTION,
        "did": alice.did,
    }
    assert (await client.get("/plyr/migration/check")).json() == found
    with world.log.unit_of_work(alice.did, ARTIST) as unit:
        unit.save(a_track(99, did=alice.did, collection=OLD_COLLECTION))
    found |= {"needs_migration": True, "old_record_count": 1}
    assert (await client.get("/plyr/migration/check")).json() == found
