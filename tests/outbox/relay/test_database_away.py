"""A relay goes on after its database was away."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import DBAPIError

from aggregates.published import Subject
from outbox.views.waits import MirrorWaits
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on
from tests.servers.databases import migrate, temporary_database
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
LONG = 60.0


@pytest.fixture
async def desk(durable_postgres: PostgresServer) -> AsyncIterator[Rig]:
    with temporary_database(durable_postgres.url) as url:
        migrate(url)
        async with memory_rig_on(url) as rig:
            yield rig


async def test_a_relay_goes_on_after_the_database_was_killed_and_started_again(
    desk: Rig, durable_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    waits, stop = MirrorWaits(desk.database), asyncio.Event()
    running = asyncio.create_task(desk.relay.run(stop))
    try:
        desk.upload(1)
        assert await waits.wait(desk.did, Subject("track", 1), None, LONG)
        waiting = asyncio.create_task(waits.wait(desk.did, Subject("track", 2), None, LONG))
        await asyncio.to_thread(durable_postgres.kill)
        with pytest.raises(DBAPIError):
            await asyncio.to_thread(desk.upload, 2)

        await asyncio.to_thread(durable_postgres.start)
        desk.clock.advance(minutes=2)  # the lane may not have been released: its lease expires
        await asyncio.to_thread(desk.upload, 2)

        assert await waiting
    finally:
        stop.set()
        await asyncio.wait_for(running, LONG)
        await waits.finish()
