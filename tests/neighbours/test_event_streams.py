"""One client opens streams without end: it has as many as its requests, and they hold no thread."""

import asyncio
from collections import Counter

from api.middleware.rate_limits import RateLimits
from tests.api.world import until, upload


def test_five_hundred_streams_of_one_account_delay_no_other(world, alice, bob):
    with world.serve(rate_limits=RateLimits(clock=lambda: 1000.0)) as client:
        upload(client, bob)

    async def open_streams():
        async with world.async_client(alice) as greedy, world.async_client(bob) as other:
            streams = [
                asyncio.create_task(greedy.get("/events", headers={"Prefer": "wait=25"})) for _ in range(500)
            ]
            await until(lambda: sum(stream.done() for stream in streams) == 400)
            answer = await other.get("/tracks")
            followed = await other.get("/events", headers={"Prefer": "wait=0", "Last-Event-ID": "0"})
            still_open = sum(not stream.done() for stream in streams)
            world.services.event_poller.stop()
            return answer, followed, still_open, await asyncio.gather(*streams)

    answer, followed, still_open, streams = asyncio.run(open_streams())

    assert Counter(stream.status_code for stream in streams) == {200: 100, 429: 400}
    assert still_open == 100
    assert (answer.status_code, len(answer.json()["items"])) == (200, 1)
    assert "event: Created" in followed.text
