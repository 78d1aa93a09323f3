"""Deleting a track, bringing it back, and replacing its audio."""

from sqlalchemy import update

from storage.media import media
from tests.api.world import refusal, replace_audio, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_a_deleted_track_is_gone_and_its_record_too(client, world, alice):
    track = upload(client, alice)
    world.deliver()
    assert world.record(track)
    answer = client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert answer.status_code == 200
    assert answer.json()["message"] == "track deleted successfully"
    assert answer.json()["mirror"]["state"] == "pending"
    assert refusal(client.get(f"/tracks/{track['id']}")) == (404, "track_not_found")
    assert client.get("/tracks").json()["items"] == []
    world.deliver()
    assert world.record(track) is None


def test_undelete_brings_the_same_track_and_record_back(client, world, alice):
    track = upload(client, alice, image=samples.png(), description="words")
    world.deliver()
    record = world.record(track)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    world.deliver()
    back = client.post(f"/tracks/{track['id']}/undelete", headers=alice.headers)
    assert back.status_code == 200
    world.deliver()
    unchanged = {"title", "description", "file_id", "created_at", "atproto_record_uri", "image_url"}
    assert {name: back.json()[name] for name in unchanged} == {name: track[name] for name in unchanged}
    assert {**world.record(track), "mastertapeGen": 0} == {**record, "mastertapeGen": 0}


def test_undelete_into_a_duplicate_is_refused(client, world, alice):
    track = upload(client, alice, seed=3)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    other = upload(client, alice, seed=3)
    before = world.state()
    answer = client.post(f"/tracks/{track['id']}/undelete", headers=alice.headers)
    assert refusal(answer) == (409, "duplicate_audio")
    assert answer.json()["detail"]["track_id"] == other["id"]
    assert world.state() == before


def test_undelete_after_the_bytes_are_gone_is_refused(client, world, alice):
    track = upload(client, alice)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    world.execute(update(media).values(state="deleting"))
    before = world.state()
    answer = client.post(f"/tracks/{track['id']}/undelete", headers=alice.headers)
    assert refusal(answer) == (409, "bytes_expired")
    assert world.state() == before


def test_audio_is_replaced_under_the_same_track_and_record(client, world, alice):
    track = upload(client, alice, description="kept")
    answer = client.put(f"/tracks/{track['id']}/audio", files={"file": samples.wav()}, headers=alice.headers)
    assert answer.status_code == 200
    replaced = answer.json()
    assert replaced["file_id"] != track["file_id"]
    assert (replaced["file_type"], replaced["duration"]) == ("wav", 2)
    world.deliver()
    record = world.record(track)
    assert record["audioUrl"] == replaced["audio_url"]
    assert (record["description"], record["createdAt"]) == ("kept", track["created_at"])


def test_audio_of_another_track_of_theirs_is_a_duplicate(client, world, alice):
    first, second = upload(client, alice, seed=1), upload(client, alice, seed=2)
    before = world.state()
    answer = replace_audio(client, alice, second, 1)
    assert refusal(answer) == (409, "duplicate_audio")
    assert answer.json()["detail"]["track_id"] == first["id"]
    assert world.state() == before
    missing = client.put(f"/tracks/{second['id']}/audio", headers=alice.headers)
    assert refusal(missing) == (422, "unparsable")
