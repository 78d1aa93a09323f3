"""Waveforms of tracks: computed after the upload, for those who may play the track, and swept with the audio."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from eventstore.jobs.table import JobState, job
from replay.derived import MAX_ATTEMPTS, request_all, sweep_media
from storage.derived.renditions import DerivedKind
from storage.derived.waveforms import waveform
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.storage.other_program import changed

pytestmark = ON_SQLITE


def work(world):
    asyncio.run(world.made.worker.run_once())


def jobs(world):
    return world.rows(select(job).where(job.c.kind == DerivedKind.WAVEFORM))


def read(client, track, person=None):
    return client.get(f"/tracks/{track['id']}/waveform", headers=person.headers if person else {})


def uploaded(client, person, name):
    files = {"file": (name, samples.file(name), "audio/mpeg")}
    answer = client.post("/tracks", data={"title": "Song"}, files=files, headers=person.headers)
    assert answer.status_code == 201
    return answer.json()


def test_a_waveform_comes_after_the_upload(world, client, alice):
    track = upload(client, alice)
    answer = read(client, track)
    assert refusal(answer) == (404, "waveform_not_ready")
    assert int(answer.headers["retry-after"]) > 0
    work(world)
    found = read(client, track)
    assert found.headers["cache-control"] == "public, max-age=300"
    assert 0 < len(found.json()["peaks"]) <= 800
    assert found.json()["duration"] == pytest.approx(track["duration"], abs=1)


def test_replaced_audio_gets_one_of_its_own(world, client, alice):
    track = upload(client, alice)
    work(world)
    files = {"file": ("tone.flac", samples.file("tone.flac"), "audio/flac")}
    client.put(f"/tracks/{track['id']}/audio", files=files, headers=alice.headers)
    assert refusal(read(client, track)) == (404, "waveform_not_ready")
    work(world)
    assert read(client, track).json()["duration"] == 2.0


def test_a_waveform_of_an_earlier_version_is_made_again_for_its_loudness(world, client, alice):
    track = upload(client, alice)
    work(world)
    loudness = read(client, track).json()["loudness"]
    assert -60 < loudness < 0
    with world.made.database.write() as connection:
        connection.execute(update(waveform).values(loudness=None))
    assert read(client, track).json()["loudness"] is None
    work(world)
    assert read(client, track).json()["loudness"] == loudness


def test_sound_far_above_full_scale_is_measured_once(world, client, alice):
    files = {"file": ("loud.wav", samples.floats(1e30), "audio/wav")}
    track = client.post("/tracks", data={"title": "Song"}, files=files, headers=alice.headers).json()
    work(world)
    found = read(client, track).json()
    assert (set(found["peaks"]), found["loudness"]) == ({255}, 600.0)
    assert request_all(world.made.database) == 0


def test_audio_that_cannot_be_decoded_has_none_and_is_not_tried_again(world, client, alice):
    of_another_kind, broken = uploaded(client, alice, "tone.m4a"), uploaded(client, alice, "flac.ogg")
    assert refusal(read(client, of_another_kind)) == (404, "no_waveform")
    for _ in range(2):
        work(world)
    assert refusal(read(client, broken)) == (404, "no_waveform")
    (row,) = jobs(world)
    assert (row.subject, row.state, row.attempts) == (broken["file_id"], JobState.FAILED, 1)


def test_a_decoder_that_is_killed_each_time_is_given_up(world, client, alice, tmp_path, monkeypatch):
    monkeypatch.setattr("eventstore.jobs.queue.backoff", lambda *_, **__: timedelta(0))
    track = upload(client, alice)
    with changed(world.made.parsers, tmp_path, "waveform", "import os; os.kill(os.getpid(), 9)"):
        work(world)
    (row,) = jobs(world)
    assert (row.state, row.attempts) == (JobState.FAILED, MAX_ATTEMPTS)
    assert refusal(read(client, track)) == (404, "no_waveform")
    assert client.get(f"/tracks/{track['id']}").status_code == 200
    assert list(world.services.staging.glob("*")) == []


def test_a_waveform_is_for_those_who_may_play_the_track(world, client, alice, bob, admin):
    gated, hidden = upload(client, alice, support_gate={"type": "any"}), upload(client, alice, seed=2)
    work(world)
    assert refusal(read(client, gated)) == (401, "not_authenticated")
    assert refusal(read(client, gated, bob)) == (402, "support_required")
    found = read(client, gated, alice)
    assert (found.status_code, found.headers["cache-control"]) == (200, "private, no-cache")
    assert decide(client, admin, hidden).status_code == 200
    assert refusal(read(client, hidden)) == (404, "track_not_found")
    assert refusal(read(client, hidden, alice)) == (404, "media_not_found")
    assert read(client, hidden, admin).status_code == 200
    assert refusal(client.get("/tracks/999/waveform")) == (404, "track_not_found")


def test_a_waveform_goes_with_the_audio(world, client, alice):
    track, broken = upload(client, alice), uploaded(client, alice, "flac.ogg")
    work(world)
    for left in (1, 0):
        sweep_media(world.made.media, timedelta(0))
        kept = world.rows(select(waveform))
        assert [len(kept), len(jobs(world))] == [left, left]
        for each in (track, broken):
            client.delete(f"/tracks/{each['id']}", headers=alice.headers)
        sweep_media(world.made.media, timedelta(0))
