"""A full disk is reported as one, not as a store or a database that does not answer."""

import asyncio
import json
import re

import pytest
from sqlalchemy import event, text

from api.error_responses import response_to
from service.config.settings import Settings
from service.observability import readiness
from storage import errors
from storage.errors import DiskFullError
from tests.api.client import TestClient
from tests.api.world import World, refusal, upload
from tests.servers.databases import ON_SQLITE


def test_what_no_disk_has_room_for_is_told_with_its_reason():
    answer = response_to(DiskFullError("[Errno 28]"))
    detail = json.loads(answer.body)["detail"]
    assert (answer.status_code, detail["error"], "full" in detail["message"]) == (503, "not_ready", True)
    assert "Errno" not in detail["message"]


@pytest.fixture
def in_a_file(migrated_sqlite, tmp_path):
    """A service on SQLite, which can be made to have no room; of PostgreSQL a full disk is the code 53100."""
    made = World(Settings(data=tmp_path / "data", database_url=migrated_sqlite))
    yield made
    asyncio.run(made.made.close())


def test_a_database_without_room_is_told_as_a_full_disk(in_a_file):
    world = in_a_file
    alice = world.sign_in("alice")
    with TestClient(world.app, raise_server_exceptions=False) as client:
        track = upload(client, alice)
        pages = world.scalars(text("pragma page_count"))[0] + 10
        world.database.close()
        event.listen(
            world.database.engine,
            "connect",
            lambda raw, _: raw.execute(f"pragma max_page_count = {pages}").close(),
        )
        answers = [
            client.patch(
                f"/tracks/{track['id']}", json={"description": "x" * 4000 + str(n)}, headers=alice.headers
            )
            for n in range(20)
        ]
        refused = [answer for answer in answers if not answer.is_success]
        assert {refusal(answer) for answer in refused} == {(503, "not_ready")}
        assert any("disk of the service is full" in answer.text for answer in refused)
        assert client.get(f"/tracks/{track['id']}").json()["description"].startswith("x")


@ON_SQLITE
def test_a_full_disk_is_named_while_requests_are_served(world, monkeypatch):
    monkeypatch.setattr(readiness, "SAMPLE_TTL_SECONDS", 0)
    alice = world.sign_in("alice")
    with TestClient(world.app) as client:
        track = upload(client, alice)
        assert client.get("/readyz").json() == {"status": "ready"}
        monkeypatch.setattr(errors, "MIN_FREE_BYTES", 2**60)
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        said = re.compile(r"is full since (.* UTC), \d+ KiB are free: edits and uploads .* are refused")
        assert said.findall(ready.json()["disk"]) == said.findall(client.get("/readyz").json()["disk"]) != []
        edited = client.patch(f"/tracks/{track['id']}", json={"title": "edited"}, headers=alice.headers)
        assert edited.is_success
