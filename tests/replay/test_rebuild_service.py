"""Read models that were lost come back under a service that runs: nothing of the log was."""

import pytest
from click.testing import CliRunner
from sqlalchemy import delete

from eventstore.sql.schema import projection_state
from service.cli.main import main
from service.config.settings import PREFIX
from service.observability.readiness import why_not_ready
from service.schema.tables import READ_MODELS
from tests.api.client import TestClient
from tests.api.world import refusal, upload
from tests.media_samples import samples


@pytest.fixture
def typed(world, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}DATA", str(world.made.settings.data))
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", world.made.settings.database_url)
    return lambda *args: CliRunner().invoke(main, args)


def lose_read_models(world):
    with world.database.write() as connection:
        for table in reversed([each.live for projection in READ_MODELS for each in projection.tables]):
            connection.execute(delete(table))
        connection.execute(delete(projection_state))


def test_a_rebuild_restores_a_service_whose_read_models_were_lost(world, typed):
    world.serve(not_ready_because=lambda: why_not_ready(world.log))
    with TestClient(world.app, raise_server_exceptions=False) as client:
        alice = world.sign_in("alice")
        tracks = [upload(client, alice, seed=seed, title=f"Song {seed}", tags=["a"]) for seed in (1, 2, 3)]
        path = f"/tracks/{tracks[0]['id']}"
        client.patch(path, json={"title": "newer"}, headers=alice.headers)
        world.deliver()
        before = [client.get(f"/tracks/{track['id']}").json() for track in tracks]
        history = client.get(f"{path}/history", headers=alice.headers).json()

        lose_read_models(world)
        assert refusal(client.get(path)) == (404, "track_not_found")
        new = {"file": ("song.mp3", samples.mp3(9), "audio/mpeg")}
        assert (
            refusal(client.post("/tracks", data={"title": "x"}, files=new, headers=alice.headers))[0] == 503
        )
        assert refusal(client.get("/readyz")) == (503, "not_ready")
        assert typed("verify", "projections").exit_code == 3

        assert typed("rebuild").exit_code == 0
        assert client.get("/readyz").status_code == 200
        assert [client.get(f"/tracks/{track['id']}").json() for track in tracks] == before
        assert client.get(f"{path}/history", headers=alice.headers).json() == history
        assert client.patch(path, json={"title": "and on"}, headers=alice.headers).status_code == 200
        world.deliver()
        assert world.record(tracks[0])["title"] == "and on"
