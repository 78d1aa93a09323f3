"""The look before a command keeps to what the PDS said of its limits, and tells the relay of it."""

import json

import httpx
import pytest
from sqlalchemy import select

from outbox.mirror.tables import pds_host
from tests.api.fake_pds import HOST
from tests.api.records.record_commands import command, lost, uploaded

pytestmark = pytest.mark.anyio
OVER = (429, {"retry-after": "60"})
NEARLY = (200, {f"ratelimit-{name}": value for name, value in (("limit", "3000"), ("remaining", "10"))})
NEARLY[1].update({"ratelimit-reset": "60", "ratelimit-policy": "3000;w=300"})
LOOKS = {"restore-record": "_getrecord", "migrate-to-pds": "_describeserver"}


@pytest.fixture
async def client(world, alice):
    async with world.async_client(alice) as client:
        yield client


def tells(world, monkeypatch, name, told):
    """The PDS says this with its answer to a read."""
    status, headers = told
    as_it_is = getattr(world.pds, name)

    def answer(fields, content):
        if status != 200:
            error = json.dumps({"error": "RateLimitExceeded"})
            return httpx.Response(status, headers=headers, content=error)
        reply = as_it_is(fields, content)
        reply.headers.update(headers)
        return reply

    monkeypatch.setattr(world.pds, name, answer)


def pause(world):
    """For how many seconds the PDS is to be left alone."""
    with world.database.read() as connection:
        row = connection.execute(select(pds_host).where(pds_host.c.host == HOST)).one()
        return (row.paced_until - world.database.now(connection)).total_seconds()


@pytest.mark.parametrize("told", [OVER, NEARLY])
@pytest.mark.parametrize("name", LOOKS)
async def test_the_relay_waits_for_the_reset_that_a_look_was_told(
    world, client, alice, monkeypatch, *, name, told
):
    track = await lost(world, client, alice)
    tells(world, monkeypatch, LOOKS[name], told)
    world.pds.requests.clear()
    answer = await command(world, client, track, name, Prefer="wait=1")
    assert answer.status_code == 202
    assert [each.rsplit(".", 1)[1].lower() for each in world.pds.requests] == [LOOKS[name].strip("_")]
    assert 50 < pause(world) < 70


@pytest.mark.parametrize("name", LOOKS)
async def test_a_command_is_kept_without_a_look_while_the_pds_is_to_be_left_alone(
    world, client, alice, monkeypatch, name
):
    track, other = await lost(world, client, alice), await uploaded(client, alice, seed=2)
    tells(world, monkeypatch, "_getrecord", OVER)
    await command(world, client, other, "restore-record", relay=False)
    world.pds.requests.clear()
    answer = await command(world, client, track, name, relay=False, Prefer="wait=0")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/tracks/{track['id']}/mirror")
    assert world.pds.requests == []
