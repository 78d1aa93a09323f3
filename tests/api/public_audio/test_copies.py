"""With S3_PUBLIC_URL a public address always has its bytes, and a gated one has none."""

import asyncio

import pytest

from aggregates.tracks.track import Track
from identity.accounts.credentials import Scope
from outbox.tracks.record import RecordUrls
from service.config.settings import Settings
from service.process.jobs import review_public_copies
from storage.cid import cid_of
from tests.api.client import TestClient
from tests.api.public_audio.copies import CDN, GATE, edit, name_of, undelete
from tests.api.tracks.takedown import decide
from tests.api.world import World, replace_audio, upload
from tests.media_samples import samples
from tests.replay.adoption.rig import Internet, adopt_all, adoption_on
from tests.servers.databases import ON_SQLITE
from tests.storage.public.public_rig import run_due

pytestmark = [pytest.mark.s3, ON_SQLITE]


def test_an_upload_is_public_before_its_response(world, client, alice, public):
    track = upload(client, alice)
    assert track["audio_url"] == f"{CDN}/public/{name_of(track)}"
    assert public() == {name_of(track)}
    assert public.fetch(name_of(track)) == (samples.mp3(1), "audio/mpeg")
    world.deliver()
    assert world.record(track)["audioUrl"] == track["audio_url"]


def test_the_copy_is_there_when_the_event_commits(client, alice, public, monkeypatch):
    seen = []
    commit = Track.register.__func__

    def register(cls, **fields):
        seen.append(public())
        return commit(cls, **fields)

    monkeypatch.setattr(Track, "register", classmethod(register))
    track = upload(client, alice)
    assert seen == [{name_of(track)}]


def test_a_gated_track_comes_back_gated_and_is_never_public(world, client, alice, publisher, monkeypatch):
    made = []
    monkeypatch.setattr(world.made.media.store, "publish", lambda *copy: made.append(copy))
    track = upload(client, alice, support_gate={"type": "any"})
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert undelete(client, alice, track).status_code == 200
    assert replace_audio(client, alice, track, 2).status_code == 200
    edit(client, alice, track, title="Other")
    run_due(publisher)
    assert made == []


def test_what_was_taken_down_is_not_public_whatever_its_owner_does(world, client, alice, public, monkeypatch):
    admin, track = world.sign_in("admin", scope=Scope.ADMIN), upload(client, alice)
    publisher, store, made = world.made.publisher, world.made.media.store, []

    assert decide(client, admin, track).json()["affected"] == 1
    run_due(publisher)
    assert public() == set()
    with monkeypatch.context() as patched:
        patched.setattr(store, "publish", lambda *copy: made.append(copy))
        edit(client, alice, track, support_gate=GATE)
        edit(client, alice, track, support_gate="")
        edited = replace_audio(client, alice, track, 2).json()
        client.delete(f"/tracks/{track['id']}", headers=alice.headers)
        assert undelete(client, alice, track).status_code == 200
        client.post(f"/tracks/{track['id']}/revert", json={"to_version": 1}, headers=alice.headers)
        replace_audio(client, alice, track, 2)
        run_due(publisher)
    assert made == []
    assert decide(client, admin, track, lift=True).json()["affected"] == 1
    assert public() == {name_of(edited)}


def test_of_replaced_audio_the_new_is_there_and_the_old_is_gone(world, client, alice, public, publisher):
    old = upload(client, alice)
    new = replace_audio(client, alice, old, 2).json()
    assert new["audio_url"] == f"{CDN}/public/{name_of(new)}"
    assert name_of(new) in public()
    run_due(publisher)
    assert public() == {name_of(new)}
    world.deliver()
    assert world.record(old)["audioUrl"] == new["audio_url"]


def test_bytes_that_were_taken_down_are_never_public_again(world, client, alice, public, monkeypatch):
    admin, bob = world.sign_in("admin", scope=Scope.ADMIN), world.sign_in("bob")
    track, deleted, other = upload(client, alice), upload(client, bob), upload(client, bob, seed=2)
    client.delete(f"/tracks/{deleted['id']}", headers=bob.headers)
    for seed in (1, 3):
        replace_audio(client, bob, other, seed)
    decide(client, admin, track, bytes=True)
    run_due(world.made.publisher)
    kept, made = public(), []
    assert kept == {f"{cid_of(samples.mp3(3))}.mp3"}
    monkeypatch.setattr(world.made.media.store, "publish", lambda *copy: made.append(copy))
    back = {"to_version": 2}
    for answer in (
        undelete(client, bob, deleted),
        replace_audio(client, bob, other, 1),
        client.post(f"/tracks/{other['id']}/revert", json=back, headers=bob.headers),
        client.post("/tracks", data={"title": "x"}, files={"file": samples.mp3(1)}, headers=bob.headers),
    ):
        assert (answer.status_code, answer.json()["detail"]["error"]) == (409, "taken_down")
    assert (made, public()) == ([], kept)


def test_adopted_audio_is_public_when_its_event_commits_unless_it_is_gated(world, public, tmp_path):
    internet = Internet()
    internet.record(1)
    internet.record(2, supportGate={"type": "any"})

    async def adopt():
        async with internet.client() as http:
            parts = (world.log, world.made.media, http, tmp_path / "staging", world.made.publisher)
            return await adopt_all(adoption_on(*parts))

    assert asyncio.run(adopt()).adopted == 2
    assert public() == {f"{cid_of(samples.mp3(1))}.mp3"}
    run_due(world.made.publisher)
    assert public() == {f"{cid_of(samples.mp3(1))}.mp3"}


def test_without_a_public_address_nothing_is_public(
    tmp_path, migrated_sqlite, s3_endpoint, s3_bucket, public
):
    settings = Settings(
        data=tmp_path / "data",
        database_url=migrated_sqlite,
        media=f"s3:{s3_bucket}",
        s3_endpoint=s3_endpoint.url,
    )
    world = World(settings)
    with TestClient(world.app) as client:
        track = upload(client, world.sign_in("carol"))
        assert track["audio_url"].startswith(f"{world.services.base_url}/audio/")
    assert (world.made.publisher, world.services.urls) == (None, RecordUrls(settings.base_url))
    review_public_copies(world.made)
    assert public() == set()
    asyncio.run(world.made.close())
