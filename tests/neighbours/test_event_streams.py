"""Clients open streams without end: an account has a few, they hold no thread, and a change is read once for all of them."""

import asyncio
from collections import Counter
from functools import partial

from api.middleware.rate_limits import RateLimits
from api.pipeline import concurrency
from api.pipeline.concurrency import MAX_STREAMS_OF_AN_ACCOUNT
from tests.api.test_events import Stream
from tests.api.world import upload
from tests.statements import recorded_statements
from tests.waits import until_async

EDITS = 5


def test_five_hundred_streams_of_one_account_are_a_few_and_delay_no_other(world, alice, bob):
    with world.serve(rate_limits=RateLimits(clock=lambda: 1000.0)) as client:
        upload(client, bob)

    async def open_streams():
        async with world.async_client(alice) as greedy, world.async_client(bob) as other:
            streams = [
                asyncio.create_task(greedy.get("/events", headers={"Prefer": "wait=25"})) for _ in range(500)
            ]
            refused = len(streams) - MAX_STREAMS_OF_AN_ACCOUNT
            await until_async(lambda: sum(stream.done() for stream in streams) == refused)
            answer = await other.get("/tracks")
            followed = await other.get("/events", headers={"Prefer": "wait=0", "Last-Event-ID": "0"})
            world.services.event_poller.stop()
            return answer, followed, await asyncio.gather(*streams)

    answer, followed, streams = asyncio.run(open_streams())

    assert Counter(stream.status_code for stream in streams) == {
        200: MAX_STREAMS_OF_AN_ACCOUNT,
        429: 500 - MAX_STREAMS_OF_AN_ACCOUNT,
    }
    assert (answer.status_code, len(answer.json()["items"])) == (200, 1)
    assert "event: Created" in followed.text


def test_the_streams_of_all_accounts_together_have_a_limit_and_one_that_has_ended_leaves_its_place(
    world, alice, bob, monkeypatch
):
    monkeypatch.setattr(concurrency, "MAX_STREAMS", 3)
    world.serve().close()
    wait, at_once = {"Prefer": "wait=25"}, {"Prefer": "wait=0"}

    async def open_streams():
        async with world.async_client(alice) as one, world.async_client(bob) as other:
            streams = [asyncio.create_task(one.get("/events", headers=wait)) for _ in range(3)]
            await until_async(lambda: world.app.state.streams._under_way.total() == 3)  # noqa: SLF001
            full = await other.get("/events", headers=at_once)
            world.services.event_poller.stop()
            await asyncio.gather(*streams)
            return full, await other.get("/events", headers=at_once)

    full, after = asyncio.run(open_streams())
    assert (full.status_code, full.json()["detail"]["error"]) == (429, "rate_limited")
    assert "retry-after" in full.headers
    assert after.status_code == 200


def test_a_change_is_read_once_however_many_streams_of_its_account_are_open(world, alice):
    with world.serve() as client:
        track = upload(client, alice)

    async def edit_beside_streams():
        streams = [Stream(world, alice) for _ in range(MAX_STREAMS_OF_AN_ACCOUNT)]
        running = [asyncio.create_task(stream.run()) for stream in streams]
        await until_async(lambda: all("mirror" in stream.received for stream in streams))
        with recorded_statements(world.database.engine) as statements:
            async with world.async_client(alice) as editor:
                for number in range(EDITS):
                    await editor.patch(f"/tracks/{track['id']}", json={"title": f"{number}"})
                    await until_async(partial(all_have_received, streams, number + 1))
        world.services.event_poller.stop()
        await asyncio.gather(*running)
        return statements

    statements = asyncio.run(edit_beside_streams())
    reads = [sql for sql in statements if "FROM history" in sql and "ORDER BY history.position" in sql]
    assert len(reads) == 2 * EDITS  # the sizes of a page's entries, and the entries


def all_have_received(streams, edits):
    return all(stream.received.count("MetadataUpdated") == edits for stream in streams)
