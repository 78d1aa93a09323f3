"""Readiness and the media store: a wrong store accepts no request, an unavailable one does not delay the others."""

import time

import pytest

from service.observability.readiness import MediaHealth
from storage.media import Media
from storage.stores.store import open_store
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def client(world, monkeypatch):
    monkeypatch.setattr("service.observability.readiness.SAMPLE_TTL_SECONDS", 0)
    return world.serve(not_ready_because=world.made.services.not_ready_because)


def test_a_media_disk_that_is_not_mounted_is_noticed_once_bytes_should_be_there(world, client, alice):
    folder = world.made.media.store.root
    assert client.get("/readyz").json() == {"status": "ready"}
    upload(client, alice)
    assert client.get("/readyz").json() == {"status": "ready"}
    elsewhere = folder.rename(folder.with_name("unmounted"))
    for _ in ("missing", "empty"):
        answer = client.get("/readyz")
        assert refusal(answer) == (503, "not_ready")
        assert world.made.settings.media in answer.json()["detail"]["message"]
        folder.mkdir(exist_ok=True)
    folder.rmdir()
    elsewhere.rename(folder)
    assert client.get("/readyz").json() == {"status": "ready"}


def test_one_copy_that_is_lost_is_no_lost_store(world, client, alice):
    upload(client, alice, seed=1)
    upload(client, alice, seed=2)
    store = world.made.media.store
    store.delete(next(store.stored()).key)
    assert client.get("/readyz").json() == {"status": "ready"}


def test_an_unavailable_store_is_reported_and_delays_no_other_route(world, client, alice, monkeypatch):
    """Nothing listens at this port."""
    track = upload(client, alice)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    nowhere = open_store("s3:bucket", "http://127.0.0.1:1")
    watch = MediaHealth(Media(world.database, nowhere), "s3:bucket")
    client = world.serve(
        not_ready_because=lambda: watch.health().lost, media_away_because=lambda: watch.health().away
    )
    began = time.monotonic()
    answer = client.get("/readyz")
    assert time.monotonic() - began < 10
    assert answer.status_code == 200
    assert answer.json()["media"].startswith("the media store s3:bucket is away")
    edited = client.patch(f"/tracks/{track['id']}", json={"title": "x"}, headers=alice.headers)
    assert edited.status_code == 200


def test_readiness_checks_the_store_once_for_many_callers(world, alice):
    client = world.serve(not_ready_because=world.made.services.not_ready_because)
    upload(client, alice)
    folder = world.made.media.store.root
    assert client.get("/readyz").status_code == 200
    folder.rename(folder.with_name("unmounted"))
    assert client.get("/readyz").status_code == 200
