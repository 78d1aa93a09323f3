"""With S3_PUBLIC_URL an address that is public has its bytes, and one that is gated has none, on a real S3 API."""

import asyncio
import os
import threading
import time

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from aggregates.track import Track
from api.errors import REPLIES
from identity.credentials import Scope
from outbox.record.record import RecordUrls
from replay.verify import Repo
from service.jobs import review_public_copies
from service.settings import PREFIX, Settings
from storage.cid import cid_of
from storage.errors import StoreUnavailableError
from storage.media import media
from tests.api.world import World, did_of, refusal, upload
from tests.dsl import ALICE
from tests.media_samples import samples
from tests.outbox.rig import ARTIST
from tests.replay.adopt_rig import HOST, Internet, adoption_on

pytestmark = pytest.mark.s3
CDN = "https://cdn.example"
GATE = '{"type": "any"}'


@pytest.fixture
def world(tmp_path, migrated_url, monkeypatch, s3_endpoint, s3_bucket):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    made = World(
        Settings(
            data=tmp_path / "data",
            database_url=migrated_url,
            media=f"s3:{s3_bucket}",
            s3_endpoint=s3_endpoint.url,
            s3_public_url=CDN,
            admin_dids=(did_of("admin"),),
        )
    )
    yield made
    asyncio.run(made.made.close())


class Public:
    """What everybody may fetch, as the bucket itself says."""

    def __init__(self, client, bucket):
        self.client, self.bucket = client, bucket

    def __call__(self):
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix="public/")
        return {entry["Key"].removeprefix("public/") for entry in listed.get("Contents", ())}

    def fetch(self, name):
        answer = self.client.get_object(Bucket=self.bucket, Key=f"public/{name}")
        return answer["Body"].read(), answer["ContentType"]

    def remove(self, name):
        self.client.delete_object(Bucket=self.bucket, Key=f"public/{name}")

    def leak(self, name):
        self.client.put_object(Bucket=self.bucket, Key=f"public/{name}", Body=b"leaked")


@pytest.fixture
def public(s3_endpoint, s3_bucket):
    return Public(s3_endpoint.client(), s3_bucket)


@pytest.fixture
def publisher(world):
    return world.made.publisher


def name_of(track):
    return f"{track['file_id']}.{track['file_type']}"


def edit(client, person, track, **fields):
    answer = client.patch(f"/tracks/{track['id']}", data=fields, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def undelete(client, person, track):
    return client.post(f"/tracks/{track['id']}/undelete", headers=person.headers)


def replace(client, person, track, seed, **headers):
    files = {"file": ("song.mp3", samples.mp3(seed), "audio/mpeg")}
    return client.put(f"/tracks/{track['id']}/audio", files=files, headers={**person.headers, **headers})


def test_an_upload_is_public_before_anybody_is_told(world, client, alice, public):
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


def test_a_gate_takes_the_copy_away_at_once_and_the_record_says_so(world, client, alice, public, publisher):
    track = upload(client, alice)
    publisher.start()
    try:
        gated = edit(client, alice, track, support_gate=GATE)
        deadline = time.monotonic() + 4  # the next look would come later
        while public() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert public() == set()
    finally:
        publisher.stop(20)
    own = f"{world.services.base_url}/audio/{name_of(track)}"
    assert gated["audio_url"] == own
    world.deliver()
    assert world.record(track)["audioUrl"] == own
    assert world.record(track)["supportGate"] == {"type": "any"}
    again = edit(client, alice, track, support_gate="")
    assert public() == {name_of(track)}  # before the answer, and before the relay
    assert again["audio_url"] == track["audio_url"]
    world.deliver()
    assert world.record(track)["audioUrl"] == track["audio_url"]
    publisher.run_once()
    assert public() == {name_of(track)}


def test_a_deleted_track_has_no_copy_and_an_undeleted_one_has(client, alice, public, publisher):
    track = upload(client, alice)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    publisher.run_once()
    assert public() == set()
    assert undelete(client, alice, track).json()["audio_url"] == track["audio_url"]
    assert public() == {name_of(track)}
    publisher.run_once()
    assert public() == {name_of(track)}


def test_a_gated_track_comes_back_gated_and_is_never_public(world, client, alice, publisher, monkeypatch):
    made = []
    monkeypatch.setattr(world.made.media.store, "publish", lambda *copy: made.append(copy))
    track = upload(client, alice, support_gate={"type": "any"})
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert undelete(client, alice, track).status_code == 200
    assert replace(client, alice, track, 2).status_code == 200
    edit(client, alice, track, title="Other")
    publisher.run_once()
    assert made == []


def test_what_was_taken_down_is_not_public_whatever_its_owner_does(world, client, alice, public, monkeypatch):
    admin, track = world.sign_in("admin", scope=Scope.ADMIN), upload(client, alice)
    publisher, store, made = world.made.publisher, world.made.media.store, []

    def decide(**body):
        answer = client.post(f"/ops/tracks/{track['id']}/takedown", json=body, headers=admin.headers)
        assert answer.json()["affected"] == 1

    decide(reason="a claim")
    publisher.run_once()
    assert public() == set()
    with monkeypatch.context() as patched:
        patched.setattr(store, "publish", lambda *copy: made.append(copy))
        edit(client, alice, track, support_gate=GATE)
        edit(client, alice, track, support_gate="")
        edited = replace(client, alice, track, 2).json()
        client.delete(f"/tracks/{track['id']}", headers=alice.headers)
        assert undelete(client, alice, track).status_code == 200
        client.post(f"/tracks/{track['id']}/revert", json={"to_version": 1}, headers=alice.headers)
        replace(client, alice, track, 2)
        publisher.run_once()
    assert made == []
    decide(reason="withdrawn", lift=True)
    assert public() == {name_of(edited)}


def test_of_replaced_audio_the_new_is_there_and_the_old_is_gone(world, client, alice, public, publisher):
    old = upload(client, alice)
    new = replace(client, alice, old, 2).json()
    assert new["audio_url"] == f"{CDN}/public/{name_of(new)}"
    assert name_of(new) in public()
    publisher.run_once()
    assert public() == {name_of(new)}
    world.deliver()
    assert world.record(old)["audioUrl"] == new["audio_url"]


def test_one_artist_does_not_gate_the_copy_of_another(client, alice, bob, public, publisher):
    track = upload(client, alice)
    same = upload(client, bob)
    edit(client, alice, track, support_gate=GATE)
    publisher.run_once()
    assert public() == {name_of(same)}
    client.delete(f"/tracks/{same['id']}", headers=bob.headers)
    publisher.run_once()
    assert public() == set()


@pytest.mark.parametrize("command", ["ungate", "replace"])
def test_a_command_that_is_refused_makes_nothing_public(client, alice, public, publisher, command):
    gate = {"support_gate": {"type": "any"}} if command == "ungate" else {}
    track = upload(client, alice, **gate)
    publisher.run_once()
    before = public()
    stale = {"If-Match": '"99"'}
    if command == "replace":
        answer = replace(client, alice, track, 2, **stale)
    else:
        headers = {**alice.headers, **stale}
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=headers)
    assert refusal(answer) == (412, "version_mismatch")
    assert public() == before
    publisher.run_once()
    assert public() == before


def test_a_copy_goes_when_its_command_fails_in_the_unit(client, alice, public, publisher, monkeypatch):
    track = upload(client, alice, support_gate={"type": "any"})

    def fail(*_args, **_fields):
        raise StoreUnavailableError("in the unit")

    with monkeypatch.context() as broken:
        broken.setattr(Track, "set_support_gate", fail)
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=alice.headers)
    assert answer.status_code == 503
    publisher.run_once()
    assert public() == set()


def test_a_store_that_is_away_refuses_to_ungate_and_does_not_refuse_to_gate(
    world, client, alice, public, monkeypatch
):
    publisher = world.made.publisher
    track, other = upload(client, alice, support_gate={"type": "any"}), upload(client, alice, seed=2)
    publisher.run_once()

    def away(*_args):
        raise StoreUnavailableError("away")

    with monkeypatch.context() as broken:
        for operation in ("publish", "unpublish"):
            broken.setattr(world.made.media.store, operation, away)
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=alice.headers)
        assert (answer.status_code, refusal(answer)[1]) == (503, REPLIES[StoreUnavailableError].code)
        assert world.events(track["id"]) == ["Created"]
        edit(client, alice, other, support_gate=GATE)
        publisher.run_once()
        assert public() == {name_of(other)}
    time.sleep(0.6)
    publisher.run_once()
    assert public() == set()


def test_what_has_no_bytes_is_not_made_public(world, client, alice, publisher):
    deleted, gated = upload(client, alice), upload(client, alice, seed=2, support_gate={"type": "any"})
    client.delete(f"/tracks/{deleted['id']}", headers=alice.headers)
    publisher.run_once()
    for stored in list(world.made.media.store.stored()):
        world.made.media.store.delete(stored.key)
    answer = client.patch(f"/tracks/{gated['id']}", data={"support_gate": ""}, headers=alice.headers)
    assert refusal(answer) == (404, "media_not_found")
    with world.database.write() as connection:
        connection.execute(update(media).values(state="deleting"))
    assert refusal(undelete(client, alice, deleted)) == (409, "bytes_expired")
    assert world.events(gated["id"]) == ["Created"]
    assert world.events(deleted["id"]) == ["Created", "Deleted"]


def test_a_repeated_request_makes_nothing_public_again(client, alice, public, publisher):
    track = upload(client, alice, support_gate={"type": "any"})
    headers = {**alice.headers, "Idempotency-Key": "once"}
    for _ in range(2):
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=headers)
        assert answer.status_code == 200
        edit(client, alice, track, support_gate=GATE)
        publisher.run_once()
        assert public() == set()


def test_uploads_of_the_same_bytes_at_once_end_with_one_copy(client, alice, bob, public, publisher):
    publisher.start()
    try:
        threads = [threading.Thread(target=upload, args=(client, person)) for person in (alice, bob)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        publisher.stop(20)
    publisher.run_once()
    assert len(public()) == 1
    assert len(client.get("/tracks").json()["items"]) == 2


def test_the_hourly_review_puts_right_what_somebody_did_to_the_bucket(world, client, alice, public):
    publisher = world.made.publisher
    track, gated = upload(client, alice), upload(client, alice, seed=2, support_gate={"type": "any"})
    publisher.run_once()
    public.remove(name_of(track))
    public.leak(name_of(gated))
    publisher.run_once()
    assert public() == {name_of(gated)}
    review_public_copies(world.made)
    publisher.run_once()
    assert public() == {name_of(track)}


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


def test_what_is_taken_over_is_public_when_its_event_commits_unless_it_is_gated(world, public, tmp_path):
    internet = Internet()
    internet.record(1)
    internet.record(2, supportGate={"type": "any"})

    async def adopt():
        async with internet.client() as http:
            parts = (world.log, world.made.media, http, tmp_path / "staging", world.made.publisher)
            return await adoption_on(*parts).run(Repo(ALICE, HOST), ARTIST, lambda _: None, lambda _: True)

    assert asyncio.run(adopt()).adopted == 2
    assert public() == {f"{cid_of(samples.mp3(1))}.mp3"}
    world.made.publisher.run_once()
    assert public() == {f"{cid_of(samples.mp3(1))}.mp3"}
