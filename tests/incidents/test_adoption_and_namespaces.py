"""Records that are adopted, or change their collection."""

from datetime import timedelta

import pytest

from replay.derived.sweep import sweep_media
from storage.cid import cid_of
from tests.api.world import upload
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.e2e.adoption import adopts, tracks_of
from tests.e2e.artist import Artist
from tests.e2e.foreign_catalogue import a_record, publish, rkey
from tests.incidents.two_hosts import Alice
from tests.media_samples import samples


def test_inc_32_a_move_to_another_collection_that_is_asked_for_twice_is_one_and_loses_no_field(world, alice):
    old = world.serve(collection=OLD_COLLECTION)
    fields = {"description": "Words.", "album": "Pressings", "tags": ["demo"], "self_labels": ["explicit"]}
    tracks = [
        upload(old, alice, title=f"Take {seed}", seed=seed, image=samples.png(), **fields)
        for seed in range(3)
    ]
    world.deliver()
    theirs = {"com.example.mood": "blue"}
    world.pds.records[tracks[0]["atproto_record_uri"]] |= theirs
    old.patch(f"/tracks/{tracks[0]['id']}", json={"title": "Second Thoughts"}, headers=alice.headers)
    world.deliver()
    before = {uri.replace(OLD_COLLECTION, COLLECTION): record for uri, record in world.pds.records.items()}
    assert {uri.split("/")[3] for uri in world.pds.records} == {OLD_COLLECTION}
    new = world.serve(collection=COLLECTION)

    world.pds.write_refusals.append((500, "InternalServerError"))
    for _ in range(2):
        for track in tracks:
            path = f"/tracks/{track['id']}/migrate-namespace"
            answer = new.post(path, headers={**alice.headers, "Prefer": "wait=0"})
            assert answer.status_code in {200, 202}
            new.post(f"/tracks/{track['id']}/mirror/retry", headers=alice.headers)
        world.deliver()

    assert set(world.pds.records) == set(before)
    for uri, record in world.pds.records.items():
        moved = {"$type": COLLECTION, "mastertapeGen": record["mastertapeGen"]}
        assert record == before[uri] | moved
    assert theirs.items() <= world.record(new.get(f"/tracks/{tracks[0]['id']}").json()).items()
    assert [world.events(track["id"]).count("NamespaceMigrated") for track in tracks] == [1] * 3


@pytest.mark.pds
def test_inc_24_an_address_proves_nothing_and_the_blob_is_what_plays(artist: Artist) -> None:
    """An address of this very service, which has no such bytes."""
    service = str(artist.client.http.base_url).rstrip("/")
    audio = samples.mp3(2400)
    dead = f"{service}/audio/{cid_of(b'never here')}.mp3"
    blob = artist.pds.upload_blob(artist.did, audio, "audio/mpeg")
    with_blob = a_record(1, COLLECTION, audioUrl=dead, audioBlob=blob)
    without = a_record(2, COLLECTION, audioUrl=dead)
    publish(artist.pds, artist.did, [(COLLECTION, rkey(1), with_blob), (COLLECTION, rkey(2), without)])

    report = adopts(artist)

    assert (report["found"], report["adopted"], report["refused"]) == (2, 1, 1)
    [problem] = report["problems"]
    assert problem["uri"].endswith(rkey(2))
    assert (problem["error"], problem["reason"]) == ("bytes_unavailable", "not_owned")
    [track] = tracks_of(artist).values()
    assert track["audio_url"] != dead
    assert artist.client.http.get(track["audio_url"]).content == audio


def test_inc_30_what_was_taken_over_goes_from_the_store_with_its_track(alice_in_town: Alice) -> None:
    alice, audio = alice_in_town, samples.mp3(3000)
    blob = alice.repo.upload(cid_of(audio), audio, "audio/mpeg")
    alice.repo.put((COLLECTION, rkey(1)), a_record(1, COLLECTION, audioBlob=blob))
    answer = alice.http.post("/me/adopt", headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["adopted"]) == (200, 1)
    [track] = alice.http.get("/tracks").json()["items"]
    heard = alice.http.get(track["audio_url"])
    assert (heard.status_code, heard.content) == (200, audio)

    alice.http.delete(f"/tracks/{track['id']}")
    media = alice.container.media
    assert sweep_media(media, timedelta(0)).deleted == 1

    assert list(media.store.stored()) == []
    assert alice.http.get(track["audio_url"]).status_code == 404
