"""All audio that a track has and had, with names, for its owner and for who has the key that the owner has set."""

import asyncio

import pytest

from tests.api.tracks.takedown import decide
from tests.api.world import refusal, replace_audio, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
KEY = "a-key-that-nobody-can-guess"
BEFORE, AFTER = samples.mp3(1), samples.mp3(2)


@pytest.fixture
def track(client, alice):
    """A track whose audio was replaced by its second version."""
    track = upload(client, alice, seed=1)
    replace_audio(client, alice, track)
    return track


def edit(client, person, track, **fields):
    return client.patch(f"/tracks/{track['id']}", json=fields, headers=person.headers)


def versions(client, track, person=None, **query):
    headers = person.headers if person else {}
    return client.get(f"/tracks/{track['id']}/versions", params=query, headers=headers)


def items(client, track, person, *fields):
    return [tuple(each[name] for name in fields) for each in versions(client, track, person).json()["items"]]


def test_versions_are_the_audio_of_today_and_what_was_replaced(client, alice, track):
    assert items(client, track, alice, "version", "audio_kept") == [(2, True), (1, True)]
    now, earlier = versions(client, track, alice).json()["items"]
    assert (now["replaced_at"], now["audio_kept_until"]) == (None, None)
    assert earlier["replaced_at"] < earlier["audio_kept_until"]
    for each, audio in ((now, AFTER), (earlier, BEFORE)):
        assert client.get(each["audio_url"], headers=alice.headers).content == audio


def test_a_name_stays_with_its_audio(client, alice, track):
    edit(client, alice, track, audio_name="new master")
    replace_audio(client, alice, track, 3)
    assert items(client, track, alice, "name") == [(None,), ("new master",), (None,)]
    client.post(f"/tracks/{track['id']}/revert", json={"to_version": 3}, headers=alice.headers)
    assert items(client, track, alice, "name")[0] == ("new master",)
    edit(client, alice, track, audio_name="")
    assert items(client, track, alice, "name")[0] == (None,)
    rows = client.get(f"/tracks/{track['id']}/history", headers=alice.headers).json()["items"]
    named = [row["changes"] for row in rows if row["type"] == "AudioNamed"]
    assert [change["field"] for [change] in named] == ["audio_names"] * 2


def test_who_has_the_key_hears_every_version_and_nobody_else_does(world, client, alice, bob, track):
    assert refusal(versions(client, track)) == (401, "not_authenticated")
    assert refusal(versions(client, track, bob)) == (403, "not_owner")
    edit(client, alice, track, listening_key=KEY, support_gate={"type": "any"})
    asyncio.run(world.made.worker.run_once())
    found = versions(client, track, key=KEY).json()
    assert found["has_key"]
    for each, audio in zip(found["items"], (AFTER, BEFORE), strict=True):
        assert client.get(each["audio_url"]).content == audio
    wave = f"/tracks/{track['id']}/waveform?version=2&key="
    assert client.get(wave + KEY).json()["peaks"]
    assert refusal(client.get(wave + "another")) == (401, "not_authenticated")
    past = f"/tracks/{track['id']}?version=1"
    assert refusal(client.get(past)) == (401, "not_authenticated")
    edit(client, alice, track, listening_key=KEY[::-1])
    assert refusal(versions(client, track, key=KEY)) == (401, "not_authenticated")
    edit(client, alice, track, listening_key="")
    assert refusal(versions(client, track, key=KEY[::-1])) == (401, "not_authenticated")


def test_the_key_opens_nothing_of_a_track_that_is_deleted_or_taken_down(client, alice, admin, track):
    edit(client, alice, track, listening_key=KEY)
    decide(client, admin, track)
    assert refusal(versions(client, track, key=KEY)) == (404, "media_not_found")
    assert refusal(client.get(f"/tracks/{track['id']}/audio?version=1&key={KEY}")) == (404, "media_not_found")
    decide(client, admin, track, lift=True)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert refusal(versions(client, track, key=KEY)) == (401, "not_authenticated")


def test_the_key_is_in_no_answer_and_in_no_export(client, alice, track):
    answer = edit(client, alice, track, listening_key=KEY)
    export = client.get("/me/export", headers=alice.headers).text
    assert "listening_key_set" in export
    assert KEY not in answer.text + export


def test_a_key_that_can_be_guessed_is_refused(client, alice, track):
    for key in ("short", "with spaces in a long enough key", "k" * 101):
        answer = edit(client, alice, track, listening_key=key)
        assert refusal(answer) == (400, "invalid_field"), key
