"""Prefer: wait occupies no thread and no connection."""

import asyncio
import time

import pytest

from api.requests import parameters
from eventstore.coordination.commit_signals import awaited
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = pytest.mark.anyio


async def start_upload(client, wait, seed=1):
    files = {"file": ("a.mp3", samples.mp3(seed), "audio/mpeg")}
    return await client.post("/tracks", data={"title": "t"}, files=files, headers={"Prefer": f"wait={wait}"})


async def relaying(world, stop):
    while not stop.is_set():
        await world.relay.run_once()
        await asyncio.sleep(0.02)


@ON_SQLITE
async def test_a_wait_ends_when_the_pds_has_it(world, alice):
    stop = asyncio.Event()
    relay = asyncio.create_task(relaying(world, stop))
    async with world.async_client(alice) as client:
        answer = await start_upload(client, 20)
        stop.set()
        await relay
    assert answer.status_code == 201
    assert answer.json()["mirror"]["state"] == "delivered"
    assert answer.headers["preference-applied"] == "wait=20"


@ON_SQLITE
async def test_a_wait_ends_when_its_time_is_up(world, alice):
    async with world.async_client(alice) as client:
        began = time.monotonic()
        answer = await start_upload(client, 1)
        assert time.monotonic() - began > 0.9
    assert (answer.status_code, answer.json()["mirror"]["state"]) == (201, "pending")


@ON_SQLITE
async def test_the_commit_says_whether_a_caller_waits_for_its_delivery(world, alice):
    seen, claimed = [], []
    world.serve(
        wake=lambda *_: seen.append(awaited.get()), claim_with=lambda _unit: claimed.append(awaited.get())
    )
    async with world.async_client(alice) as client:
        for seed, wait in enumerate([1, 0]):
            assert (await start_upload(client, wait, seed)).status_code == 201
    assert seen == [True, False]
    assert set(claimed) == {True}


@ON_SQLITE
async def test_a_preference_that_is_none_is_ignored(world, alice):
    preferred = ("wait=x", "wait", "respond-async", "wait=-1", "wait=1.5", "await=5")
    async with world.async_client(alice) as client:
        path = f"/tracks/{(await start_upload(client, 0)).json()['id']}"
        for prefer in preferred:
            answer = await client.patch(path, json={"title": prefer}, headers={"Prefer": prefer})
            assert (answer.status_code, "preference-applied" in answer.headers) == (200, False), prefer


async def test_forty_waits_on_a_hanging_pds_delay_no_other_request(world, alice, bob, monkeypatch):
    monkeypatch.setattr(parameters, "MAX_WAIT_SECONDS", 600)
    async with world.async_client(alice) as client, world.async_client(bob) as other:
        of_alice, of_bob = [
            f"/tracks/{(await start_upload(each, 0, seed)).json()['id']}"
            for seed, each in enumerate((client, other))
        ]
        world.pds.hanging = True
        relay = asyncio.create_task(world.relay.run_once())
        waits = {"Prefer": "wait=600"}
        waiting = [
            asyncio.create_task(client.patch(of_alice, json={"title": f"{n}"}, headers=waits))
            for n in range(40)
        ]
        await until_async(lambda: len(world.services.waits._poller._waiters) == 40)  # noqa: SLF001
        for n in range(20):
            assert (await other.patch(of_bob, json={"title": f"{n}"})).status_code == 200
            assert (await other.get(of_alice)).status_code == 200
        assert not any(each.done() for each in waiting)
        assert world.database.connections_in_use <= 1  # the one poll for all
        for each in (*waiting, relay):
            each.cancel()
        await asyncio.gather(*waiting, relay, return_exceptions=True)


@ON_SQLITE
async def test_edits_while_the_pds_is_away_answer_at_once_and_arrive_later(world, alice):
    async with world.async_client(alice) as client:
        track = (await start_upload(client, 0)).json()
        await world.relay.run_once()
        world.pds.away = True
        for title in ("one", "two"):
            answer = await client.patch(f"/tracks/{track['id']}", json={"title": title})
            assert (answer.status_code, answer.json()["title"]) == (200, title)
        await world.relay.run_once()
        shown = (await client.get(f"/tracks/{track['id']}")).json()["mirror"]
        assert (shown["state"], shown["reason"] is not None) == ("pending", True)
        world.pds.away = False
        await client.post(f"/tracks/{track['id']}/mirror/retry", headers={"Prefer": "wait=0"})
    await world.relay.run_once()
    assert world.record(track)["title"] == "two"
