"""The read of the PDS before a command respects the PDS's rate limits, and reports them to the relay."""

import pytest
from sqlalchemy import select

from outbox.mirror.tables import pds_host
from tests.api.records.record_commands import client, command, lost, uploaded
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE

__all__ = ["client"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]
OVER = (429, {"retry-after": "60"})
NEARLY = (200, {f"ratelimit-{name}": value for name, value in (("limit", "3000"), ("remaining", "10"))})
NEARLY[1].update({"ratelimit-reset": "60", "ratelimit-policy": "3000;w=300"})
LOOKS = {"restore-record": "getRecord", "migrate-to-pds": "describeServer"}


def pause(world):
    """For how many seconds the PDS is to be left alone."""
    with world.database.read() as connection:
        row = connection.execute(select(pds_host).where(pds_host.c.host == HOST)).one()
        return (row.paced_until - world.database.now(connection)).total_seconds()


@pytest.mark.parametrize("told", [OVER, NEARLY])
@pytest.mark.parametrize("name", LOOKS)
async def test_the_relay_waits_for_the_reset_that_a_look_was_told(world, client, alice, name, told):
    track = await lost(world, client, alice)
    world.pds.replies[LOOKS[name]] = told
    world.pds.requests.clear()
    answer = await command(world, client, track, name, relay=False, Prefer="wait=0")
    assert answer.status_code == 202
    await world.relay.run_once()
    assert world.pds.requests == [LOOKS[name]]
    assert 50 < pause(world) < 70


@pytest.mark.parametrize("name", LOOKS)
async def test_a_command_is_kept_without_a_look_while_the_pds_is_to_be_left_alone(world, client, alice, name):
    track, other = await lost(world, client, alice), await uploaded(client, alice, seed=2)
    world.pds.replies["getRecord"] = OVER
    await command(world, client, other, "restore-record", relay=False)
    world.pds.requests.clear()
    answer = await command(world, client, track, name, relay=False, Prefer="wait=0")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/tracks/{track['id']}/mirror")
    assert world.pds.requests == []
