"""Virtual time passes only when no task is ready."""

import asyncio
import time

import httpx
import pytest

from tests.simulation.virtual_time import DeadlockError, Process, VirtualLoop, current_process


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.end()


def test_a_day_of_sleep_passes_at_once(loop):
    began = time.monotonic()
    loop.advance(86400.0)
    assert loop.time() == pytest.approx(86400.0)
    assert time.monotonic() - began < 5


def test_a_time_limit_counts_virtual_seconds(loop):
    async def hang():
        async with asyncio.timeout(30):
            await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        loop.run(hang())
    assert loop.time() == pytest.approx(30)


def test_waiting_for_nothing_is_a_deadlock_and_not_a_hang(loop):
    with pytest.raises(DeadlockError):
        loop.run(asyncio.Event().wait())


def test_threads_run_here_one_after_the_other(loop):
    seen = []

    async def both():
        await asyncio.gather(*(asyncio.to_thread(seen.append, number) for number in range(3)))

    loop.run(both())
    assert seen == [0, 1, 2]


def test_an_error_in_a_thread_reaches_its_caller(loop):
    def fail():
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        loop.run(asyncio.to_thread(fail))


def test_a_killed_process_does_nothing_more_and_runs_no_cleanup(loop):
    seen = []

    async def write():
        try:
            for number in range(10):
                await asyncio.to_thread(seen.append, number)
                await asyncio.sleep(1)
        finally:
            seen.append("cleaned up")

    async def scene():
        process = Process("relay")
        process.start(loop, write())
        await asyncio.sleep(2.5)
        process.kill(loop.time())

    loop.run(scene())
    loop.advance(60)
    assert seen == [0, 1, 2]


def test_a_process_may_die_between_a_commit_and_its_return(loop):
    loop.thread_delay = lambda: 1.0
    seen = []

    async def write():
        await asyncio.to_thread(seen.append, "committed")
        seen.append("returned")

    async def scene():
        process = Process("relay")
        process.start(loop, write())
        await asyncio.sleep(1.5)
        process.kill(loop.time())

    loop.run(scene())
    loop.advance(60)
    assert seen == ["committed"]


def test_a_frozen_process_goes_on_where_it_stood(loop):
    seen = []

    async def write():
        await asyncio.sleep(1)
        await asyncio.to_thread(seen.append, current_process().name)

    async def scene():
        process = Process("relay")
        process.start(loop, write())
        process.freeze()
        await asyncio.sleep(100)
        assert seen == []
        process.thaw()
        await asyncio.sleep(0.1)

    loop.run(scene())
    assert seen == ["relay"]


def test_httpx_runs_on_it(loop):
    async def answer(request):
        await asyncio.sleep(5)
        return httpx.Response(200, text=request.url.host)

    async def ask():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            return (await http.get("https://pds.example.com/")).text

    assert loop.run(ask()) == "pds.example.com"
    assert loop.time() == pytest.approx(5)
