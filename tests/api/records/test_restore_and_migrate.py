"""Restoring a lost record, and copying audio to the PDS."""

import asyncio

import pytest
from sqlalchemy import delete

from storage.media import media
from tests.api.records.record_commands import client, command, lost, uploaded
from tests.api.world import refusal
from tests.dsl import a_track
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

__all__ = ["client"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_a_lost_record_is_back_as_it_was_under_its_key(world, client, alice):
    track = await lost(world, client, alice)
    answer = await command(world, client, track, "restore-record")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["success"], body["restored_uri"]) == (True, track["atproto_record_uri"])
    assert body["track"]["mirror"]["state"] == "delivered"
    record = world.record(track)
    assert (record["description"], record["createdAt"]) == ("words", track["created_at"])


async def test_restoring_again_is_the_same_answer_and_no_second_event(world, client, alice):
    track = await lost(world, client, alice)
    first = await command(world, client, track, "restore-record")
    events = world.events(track["id"])
    second = await command(world, client, track, "restore-record")
    assert second.status_code == 200
    assert second.json()["restored_uri"] == first.json()["restored_uri"]
    assert world.events(track["id"]) == events


async def test_a_record_that_is_there_needs_no_restoring(world, client, alice):
    track = await uploaded(client, alice)
    await world.relay.run_once()
    before = world.state()
    answer = await command(world, client, track, "restore-record")
    assert refusal(answer) == (400, "already_has_record")
    assert answer.json()["detail"]["uri"] == track["atproto_record_uri"]
    assert world.state() == before


async def test_a_record_is_back_though_its_audio_is_still_to_come(world, client, alice):
    track = await uploaded(client, alice)
    await world.relay.run_once()
    world.pds.upload_refusal = (503, "Busy")
    await command(world, client, track, "migrate-to-pds", relay=False, Prefer="wait=0")
    del world.pds.records[track["atproto_record_uri"]]
    answer = await command(world, client, track, "restore-record")
    assert world.record(track)
    assert answer.json()["track"]["mirror"]["reason"] == "blob"
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert answer.json()["restored_uri"] == track["atproto_record_uri"]


async def test_a_pds_that_is_away_is_told_later(world, client, alice):
    track = await lost(world, client, alice)
    world.pds.away = True
    answer = await command(world, client, track, "restore-record", relay=False)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/tracks/{track['id']}/mirror"
    assert (answer.json()["success"], answer.json()["restored_uri"]) == (False, None)
    assert answer.json()["message"]
    again = await command(world, client, track, "restore-record", relay=False)
    assert again.status_code == 202
    assert world.events(track["id"]).count("RecordRestored") == 1
    world.pds.away = False
    await world.relay.run_once()
    assert world.record(track)


async def test_a_signed_out_account_is_shown_that_a_sign_in_is_needed(world):
    away = world.sign_in("away", lane=False)
    async with world.async_client(away) as client:
        track = await uploaded(client, away)
        answer = await command(world, client, track, "restore-record", relay=False)
        assert (answer.status_code, answer.json()["reason"]) == (202, "auth_required")
        moved = await command(world, client, track, "migrate-to-pds", relay=False)
        assert (moved.status_code, moved.json()["reason"]) == (202, "auth_required")
        assert moved.headers["location"] == f"/tracks/{track['id']}/mirror"
    assert world.events(track["id"]) == ["Created", "RecordRestored", "BlobMigrationRequested"]


async def test_a_gated_track_is_restored_with_its_gate(world, client, alice):
    track = await lost(world, client, alice, support_gate='{"type": "any"}')
    assert (await command(world, client, track, "restore-record")).status_code == 200
    assert world.record(track)["supportGate"] == {"type": "any"}


async def test_a_record_of_the_old_namespace_is_not_restored_here(world, client, alice):
    track = await lost(world, client, alice)
    world.collects("fm.plyr.track", old="fm.plyr.track")
    async with world.async_client(alice) as other:
        answer = await command(world, other, track, "restore-record")
    assert refusal(answer) == (409, "migration_needed")
    assert answer.json()["detail"]["old_collection"] == "fm.plyr.track"


async def test_a_record_is_restored_in_the_old_namespace_where_another_track_has_its_new_place(
    world, client, alice
):
    track = await lost(world, client, alice)
    world.collects("fm.newer.track", old="fm.plyr.track")
    rkey = track["atproto_record_uri"].rsplit("/", 1)[1]
    other_track = a_track(99, did=alice.did, collection="fm.newer.track", rkey=rkey)
    with world.log.unit_of_work(alice.did, ARTIST) as unit:
        unit.save(other_track)
    async with world.async_client(alice) as other:
        refused = await command(world, other, track, "migrate-namespace", relay=False)
        assert refusal(refused) == (400, "bad_state")
        assert "/restore-record" in refused.json()["detail"]["message"]
        answer = await command(world, other, track, "restore-record")
    assert (answer.status_code, answer.json()["restored_uri"]) == (200, track["atproto_record_uri"])
    assert track["atproto_record_uri"] in world.pds.records


async def test_a_record_of_the_old_namespace_moves_and_is_said_to_be_there_once_the_old_one_is_gone(
    world, client, alice
):
    track = await uploaded(client, alice, title="moves")
    await world.relay.run_once()
    world.collects("fm.newer.track", old="fm.plyr.track")
    async with world.async_client(alice) as other:
        answer = await command(world, other, track, "migrate-namespace", relay=False, Prefer="wait=0")
        assert (answer.status_code, answer.json()["migrated_uri"]) == (202, None)
        assert answer.headers["location"] == f"/tracks/{track['id']}/mirror"
        mirror = (await other.get(f"/tracks/{track['id']}/mirror")).json()
        assert [(left["record_uri"], left["reason"]) for left in mirror["left"]] == [
            (track["atproto_record_uri"], "successor")
        ]
        answer = await command(world, other, track, "migrate-namespace")
        assert answer.status_code == 200
        moved = answer.json()["migrated_uri"]
        assert moved == track["atproto_record_uri"].replace("fm.plyr.track", "fm.newer.track")
        assert answer.json()["track"]["atproto_record_uri"] == moved
        assert (set(world.pds.records), world.pds.records[moved]["title"]) == ({moved}, "moves")
        mirror = (await other.get(f"/tracks/{track['id']}/mirror")).json()
        assert {attempt["record_uri"] for attempt in mirror["attempts"]} == {
            moved,
            track["atproto_record_uri"],
        }
        rows = (await other.get(f"/tracks/{track['id']}/history")).json()["items"]
    assert [row["delivery"]["status"] for row in rows] == ["delivered", "delivered"]
    assert {change["field"] for change in rows[0]["changes"]} == {"collection"}


async def test_what_is_undone_or_lost_after_a_move_comes_back_in_the_new_place(world, client, alice):
    track = await uploaded(client, alice, title="first")
    await world.relay.run_once()
    world.collects("fm.newer.track", old="fm.plyr.track")
    async with world.async_client(alice) as other:
        moved = (await command(world, other, track, "migrate-namespace")).json()["migrated_uri"]
        path = f"/tracks/{track['id']}"
        await other.patch(path, json={"title": "second"})
        await other.post(f"{path}/revert", json={"to_version": 1})
        await world.relay.run_once()
        assert {uri: record["title"] for uri, record in world.pds.records.items()} == {moved: "first"}
        del world.pds.records[moved]
        assert (await command(world, other, track, "restore-record")).json()["restored_uri"] == moved
        await other.delete(path)
        await world.relay.run_once()
        assert world.pds.records == {}
        back = (await other.post(f"{path}/undelete")).json()
        await world.relay.run_once()
    assert (back["atproto_record_uri"], set(world.pds.records)) == (moved, {moved})


async def test_a_record_that_cannot_move_is_left_as_it_is(world, client, alice):
    track = await uploaded(client, alice)
    await world.relay.run_once()
    world.collects("fm.newer.track", old="fm.older.track")
    before = world.state()
    async with world.async_client(alice) as other:
        answer = await command(world, other, track, "migrate-namespace", relay=False)
    assert refusal(answer) == (400, "bad_state")
    assert world.state() == before


async def test_migrated_audio_is_said_to_be_there_once_the_record_names_it(world, client, alice):
    track = await uploaded(client, alice)
    await world.relay.run_once()
    answer = await command(world, client, track, "migrate-to-pds")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "track_id": track["id"],
        "pds_blob_cid": track["file_id"],
        "message": "track audio migrated to PDS successfully",
    }
    assert world.record(track)["audioBlob"]["ref"]["$link"] == track["file_id"]
    assert world.pds.get_blob(alice.did, track["file_id"]) == samples.mp3(1)
    now = (await client.get(f"/tracks/{track['id']}")).json()
    assert (now["audio_storage"], now["pds_blob_cid"]) == ("both", track["file_id"])
    again = await command(world, client, track, "migrate-to-pds")
    assert (again.status_code, again.json()["message"]) == (200, "track already has PDS blob")
    assert world.events(track["id"]).count("BlobMigrationRequested") == 1


async def test_audio_storage_is_both_only_once_the_record_names_the_blob(world, client, alice):
    track = await uploaded(client, alice)
    await world.relay.run_once()
    asked = asyncio.create_task(client.post(f"/tracks/{track['id']}/migrate-to-pds"))
    await until_async(lambda: "BlobMigrationRequested" in world.events(track["id"]))
    world.relay.jobs.parts.make_due()
    await world.relay.jobs.start_due()  # the blob alone, not yet the record
    await world.relay.jobs.drain()
    assert "BlobMigrated" in world.events(track["id"])
    shown = (await client.get(f"/tracks/{track['id']}")).json()
    assert (shown["audio_storage"], shown["pds_blob_cid"]) == ("service", None)
    assert not asked.done()
    while not asked.done():
        await world.relay.run_once()
        await asyncio.wait({asked}, timeout=0.02)
    assert (await asked).json()["success"] is True


async def test_gating_takes_the_audio_off_the_record_and_ungating_brings_it_back(world, client, alice):
    track = await uploaded(client, alice)
    await command(world, client, track, "migrate-to-pds")
    path = f"/tracks/{track['id']}"
    gated = (await client.patch(path, json={"support_gate": {"type": "any"}})).json()
    assert gated["audio_storage"] == "service"
    await world.relay.run_once()
    assert "audioBlob" not in world.record(track)
    opened = (await client.patch(path, json={"support_gate": None})).json()
    assert opened["audio_storage"] == "service"
    await world.relay.run_once()
    assert (await client.get(path)).json()["audio_storage"] == "both"
    assert world.record(track)["audioBlob"]


async def test_gated_audio_is_not_migrated(world, client, alice):
    track = await uploaded(client, alice, support_gate='{"type": "any"}')
    before = world.state()
    assert refusal(await command(world, client, track, "migrate-to-pds", relay=False)) == (400, "gated_track")
    assert world.state() == before


async def test_audio_whose_bytes_are_gone_is_not_migrated(world, client, alice):
    track = await uploaded(client, alice)
    world.execute(delete(media))
    before = world.state()
    assert refusal(await command(world, client, track, "migrate-to-pds", relay=False)) == (
        404,
        "media_not_found",
    )
    assert world.state() == before


async def test_audio_larger_than_the_pds_says_it_takes_is_not_migrated(world, client, alice):
    track = await uploaded(client, alice)
    world.pds.blob_limit = 100
    before = world.state()
    answer = await command(world, client, track, "migrate-to-pds", relay=False)
    assert refusal(answer) == (413, "too_large")
    assert answer.json()["detail"]["limit"] == 100
    assert world.state() == before


@pytest.mark.parametrize(
    ("said", "expected", "reason"),
    [
        ((413, "PayloadTooLarge"), (413, "too_large"), None),
        ((400, "InvalidMimeType"), (400, "invalid_media"), "InvalidMimeType"),
    ],
)
async def test_audio_that_the_pds_refuses_is_reported_with_its_reason(
    *, world, client, alice, said, expected, reason
):
    track = await uploaded(client, alice)
    world.pds.upload_refusal = said
    answer = await command(world, client, track, "migrate-to-pds")
    assert refusal(answer) == expected
    detail = answer.json()["detail"]
    assert ("limit" in detail, detail.get("reason")) == (False, reason), "the limit is not known"
    assert (reason or "") in detail["message"]
    assert (await client.get(f"/tracks/{track['id']}")).json()["audio_storage"] == "service"
    world.pds.upload_refusal = None
    assert (await command(world, client, track, "migrate-to-pds")).status_code == 200


async def test_migrate_is_refused_for_another_version(world, client, alice):
    track = await uploaded(client, alice)
    before = world.state()
    for name in ("migrate-to-pds", "restore-record"):
        answer = await command(world, client, track, name, relay=False, **{"If-Match": '"9"'})
        assert refusal(answer) == (412, "version_mismatch")
    assert world.state() == before
