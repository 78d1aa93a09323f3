"""Any number of requests wait for the PDS, and nobody holds a thread for it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing

import pytest

from aggregates.published import Subject
from eventstore.coordination.commit_signals import SETTLED, Announcer, Listener
from eventstore.sql.database import Database
from outbox.mirror.lanes import park_lane
from outbox.views.waits import MirrorWaits
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
WAITERS = 200
LONG = 30.0


@pytest.fixture
async def waits(desk: Rig) -> AsyncIterator[MirrorWaits]:
    made = MirrorWaits(desk.database)
    yield made
    await made.finish()


async def started(waits: "asyncio.Future[list[bool]]") -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waits.done()


@ON_BOTH
async def test_two_hundred_wait_at_once_and_all_are_answered_by_one_delivery(
    desk: Rig, waits: MirrorWaits
) -> None:
    desk.upload()
    generation = desk.mirror().generation
    before = threading.active_count()
    waiting = asyncio.gather(
        *[waits.wait(desk.did, Subject("track", 1), generation, LONG) for _ in range(WAITERS)]
    )
    await started(waiting)
    assert threading.active_count() - before <= 2

    await desk.relay_once()

    assert await waiting == [True] * WAITERS


async def test_a_newer_generation_ends_the_wait_for_an_older_one(desk: Rig, waits: MirrorWaits) -> None:
    desk.upload()
    generation = desk.mirror().generation
    desk.edit(title="newer")
    await desk.relay_once()
    assert await waits.wait(desk.did, Subject("track", 1), generation, LONG)


async def test_a_wait_ends_when_its_time_is_up(desk: Rig, waits: MirrorWaits) -> None:
    desk.upload()
    assert not await waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, 0.01)
    assert not await waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, 0)


async def test_a_wait_ends_once_a_person_has_to_act(desk: Rig, waits: MirrorWaits) -> None:
    desk.upload()
    waiting = asyncio.gather(waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, LONG))
    await started(waiting)
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    assert await asyncio.wait_for(waiting, LONG / 2) == [False]


async def test_a_database_that_fails_for_a_moment_ends_no_wait(
    desk: Rig, waits: MirrorWaits, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.upload()
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def broken(_ids: list[int]) -> dict:
        loop.call_soon_threadsafe(failed.set)
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(waits._poller, "_read", broken)  # noqa: SLF001
        waiting = asyncio.gather(waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, LONG))
        await asyncio.wait_for(failed.wait(), LONG)
    await desk.relay_once()
    assert await waiting == [True]


async def test_a_wait_that_begins_after_all_others_ended_is_served(desk: Rig, waits: MirrorWaits) -> None:
    desk.upload()
    await waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, 0.01)
    await desk.relay_once()
    assert await waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, LONG)


async def test_a_delivery_of_this_process_ends_the_wait_without_another_poll(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.views.waits.POLL_SECONDS", 2 * LONG)
    waits = MirrorWaits(desk.database, desk.relay)
    desk.upload()
    waiting = asyncio.create_task(waits.wait(desk.did, Subject("track", 1), None, LONG))
    await asyncio.sleep(0)
    await desk.relay_once()
    assert await waiting
    await waits.finish()


async def test_what_a_relay_of_this_process_has_acknowledged_is_not_read_again(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = MirrorWaits(desk.database, desk.relay)
    monkeypatch.setattr(waits._poller, "_read", lambda _subjects: {})  # noqa: SLF001
    desk.upload()
    waiting = asyncio.gather(waits.wait(desk.did, Subject("track", 1), desk.mirror().generation, LONG))
    await started(waiting)
    await desk.relay_once()
    assert await waiting == [True]
    await waits.finish()


@pytest.mark.postgres
async def test_a_delivery_of_another_process_ends_the_wait_without_another_poll(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.views.waits.POLL_SECONDS", 2 * LONG)
    async with memory_rig_on(migrated_postgres) as desk, AsyncExitStack() as stack:
        announcer = Announcer(desk.database)
        announcer.start()
        stack.push_async_callback(asyncio.to_thread, announcer.stop, LONG)
        desk.relay.on_settled = announcer.announce_settled
        other = stack.enter_context(closing(Database(migrated_postgres)))
        waits, listens = MirrorWaits(other), asyncio.Event()
        stack.push_async_callback(waits.finish)

        def hear(*_: int) -> None:
            listens.set()
            waits.wake()

        listening = asyncio.create_task(Listener(other, SETTLED).run(hear))
        stack.push_async_callback(asyncio.wait, {listening})
        stack.callback(listening.cancel)
        await asyncio.wait_for(listens.wait(), LONG)
        desk.upload()
        waiting = asyncio.create_task(waits.wait(desk.did, Subject("track", 1), None, LONG))
        await asyncio.sleep(0)
        await desk.relay_once()
        assert await waiting
