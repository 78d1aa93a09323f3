"""All threads of one kind, or all connections of the database, are taken: what needs none goes on, and the rest after it."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from inspect import isasyncgenfunction, isclass, iscoroutinefunction

import pytest
from fastapi.routing import APIRoute

from api.middleware import request_threads
from api.middleware.request_threads import MAX_CONCURRENT_READS_OF_A_CALLER
from api.plyr import reading as plyr_reads
from api.routers import health
from api.routers.account import profile
from api.routers.tracks import tracks as track_reads
from api.routers.tracks import writes as track_writes
from outbox.threads import MAX_THREADS, THREADS, in_thread
from projections.tracks.queries import track_page
from tests.api.world import refusal, upload
from tests.servers.databases import AND_CITUS, KINDS, ON_SQLITE
from tests.waits import until_async

ROUTE_TIMEOUT_SECONDS = 8
"""Less than the database lets a statement wait for a lock."""
COMMANDS = 60
"""More than there are threads."""
FEW = 15
"""As many of three kinds are more, too."""


@pytest.fixture(params=[*KINDS, *AND_CITUS])
def migrated_url(request):
    return str(request.getfixturevalue(f"migrated_{request.param}"))


@pytest.fixture
def tracks(world, alice, bob):
    with world.serve() as client:
        return [upload(client, person, seed=seed) for seed, person in enumerate((alice, bob), 1)]


async def answers(client, track):
    paths = ("/healthz", "/readyz", "/me", f"/tracks/{track['id']}", "/me/tracks")
    async with asyncio.timeout(ROUTE_TIMEOUT_SECONDS):
        found = await asyncio.gather(*(client.get(path) for path in paths))
    assert [each.status_code for each in found] == [200] * len(paths)


@pytest.mark.parametrize(
    ("path", "field", "module", "name"),
    [
        ("/tracks/{id}", "title", track_writes, "change_track"),
        ("/me", "bio", profile, "update_profile"),
    ],
)
def test_commands_of_one_account_take_one_thread_however_long_they_last(
    *, world, alice, bob, tracks, go_on, monkeypatch, path, field, module, name
):
    own, other = tracks
    begun, use_case = [], getattr(module, name)

    def slow(unit, *args, **kwargs):
        if unit.account == alice.did:
            begun.append(args)
            go_on.wait(60)
        return use_case(unit, *args, **kwargs)

    monkeypatch.setattr(module, name, slow)

    async def beside_slow_commands():
        async with world.async_client(alice) as greedy, world.async_client(bob) as artist:
            slow_ones = [
                asyncio.create_task(greedy.patch(path.format(**own), json={field: "New"}, timeout=60))
                for _ in range(COMMANDS)
            ]
            await until_async(lambda: begun)
            await answers(artist, other)
            if not world.database.is_sqlite:  # where one transaction writes at a time
                async with asyncio.timeout(ROUTE_TIMEOUT_SECONDS):
                    changed = await artist.patch(f"/tracks/{other['id']}", json={"title": "New"})
                assert changed.status_code == 200
            most = len(begun)
            go_on.set()
            return most, {each.status_code for each in await asyncio.gather(*slow_ones)}

    assert asyncio.run(beside_slow_commands()) == (1, {200})


@ON_SQLITE
@pytest.mark.parametrize(("seconds", "of_others"), [(60, {200}), (0.1, {503})])
def test_reads_of_one_address_take_a_few_threads_and_its_others_wait_or_are_refused(
    *, world, alice, tracks, go_on, monkeypatch, seconds, of_others
):
    begun = []

    def slow(*args, **kwargs):
        begun.append(args)
        go_on.wait(60)
        return track_page(*args, **kwargs)

    for module in (track_reads, plyr_reads):
        monkeypatch.setattr(module, "track_page", slow)
    monkeypatch.setattr(request_threads, "MAX_TURN_WAIT_SECONDS", seconds)

    async def beside_slow_reads():
        async with world.async_client() as greedy, world.async_client(alice) as artist:
            paths = ("/tracks", "/plyr/tracks", "/search?q=Song")
            asked = [asyncio.create_task(greedy.get(path, timeout=60)) for path in paths * FEW]
            await until_async(lambda: len(begun) == MAX_CONCURRENT_READS_OF_A_CALLER)
            await answers(artist, tracks[0])
            most = MAX_CONCURRENT_READS_OF_A_CALLER
            assert len(begun) == most
            if of_others == {503}:
                await until_async(lambda: sum(each.done() for each in asked) == len(asked) - most)
            go_on.set()
            found = Counter(each.status_code for each in await asyncio.gather(*asked))
            return found - Counter({200: most})

    assert set(asyncio.run(beside_slow_reads())) == of_others


@ON_SQLITE
def test_no_route_is_read_in_a_thread_that_its_caller_has_no_turn_of(world):
    def calls(dependant):
        yield dependant.call
        for each in dependant.dependencies:
            yield from calls(each)

    outside = {
        f"{route.path}: {call.__name__}"
        for route in world.app.routes
        if isinstance(route, APIRoute)
        for call in calls(route.dependant)
        if not (iscoroutinefunction(call) or isasyncgenfunction(call) or isclass(call))
    }
    assert not outside, f"these run in any thread of the framework, without `in_thread`: {outside}"


def test_requests_are_answered_while_all_threads_of_the_outbox_are_taken(world, alice, tracks, go_on):
    async def beside_full_threads():
        taken = [asyncio.create_task(in_thread(go_on.wait, 60)) for _ in range(COMMANDS)]
        await until_async(lambda: THREADS.busy == MAX_THREADS)
        delivery = asyncio.create_task(world.relay.run_once())
        async with world.async_client(alice) as artist:
            await answers(artist, tracks[0])
            async with asyncio.timeout(ROUTE_TIMEOUT_SECONDS):
                edited = await artist.patch(f"/tracks/{tracks[0]['id']}", json={"title": "New"})
            assert (edited.status_code, edited.json()["mirror"]["state"]) == (200, "pending")
            assert THREADS.busy == MAX_THREADS
            go_on.set()
            await asyncio.gather(delivery, *taken)
            await world.relay.run_once()
            assert (await artist.get(f"/tracks/{tracks[0]['id']}")).json()["mirror"]["state"] == "delivered"

    asyncio.run(beside_full_threads())


def test_a_request_that_gets_no_connection_in_time_is_refused_and_the_next_is_answered(
    world, alice, tracks, monkeypatch
):
    monkeypatch.setattr(world.database.engine.pool, "_timeout", 0.2)

    async def beside_full_pool():
        async with world.async_client(alice) as artist, AsyncExitStack() as taken:
            pool = world.database.engine
            held = [
                taken.enter_context(pool.connect())
                for _ in range(world.database.max_connections - pool.pool.checkedout())
            ]
            path = f"/tracks/{tracks[0]['id']}"
            refused = await asyncio.gather(*(artist.get(path) for _ in range(COMMANDS)))
            assert {refusal(each) for each in refused} == {(503, "not_ready")}
            assert all(int(each.headers["retry-after"]) > 0 for each in refused)
            assert (await artist.get("/healthz")).status_code == 200
            monkeypatch.setattr(pool.pool, "_timeout", ROUTE_TIMEOUT_SECONDS)  # all have one in turn now
            held[0].close()
            await answers(artist, tracks[0])

    asyncio.run(beside_full_pool())


@ON_SQLITE
def test_one_look_at_the_readiness_answers_all_who_ask_meanwhile(world, alice, go_on, monkeypatch):
    looks = []

    def look(_services):
        looks.append(1)
        go_on.wait(60)
        return {"status": "ready"}

    monkeypatch.setattr(health, "_ready", look)

    async def flood():
        async with world.async_client(alice) as client:
            asked = [asyncio.create_task(client.get("/readyz")) for _ in range(COMMANDS)]
            await until_async(lambda: looks)
            await client.get("/healthz")  # which those before it are past
            go_on.set()
            return {each.status_code for each in await asyncio.gather(*asked)}

    assert (asyncio.run(flood()), len(looks)) == ({200}, 1)
