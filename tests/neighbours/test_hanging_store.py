"""A media store that hangs stops no route but those that need its bytes, and these answer in time."""

import asyncio
import threading
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import httpx
import pytest

from api.pipeline import concurrency, media_intake, media_request
from eventstore.coordination.threads import Threads
from eventstore.errors import ThreadsBusyError
from service.observability import readiness
from service.process.jobs import sweep_media
from storage.errors import StoreUnavailableError
from storage.stores.store import StoreThreads
from tests.api.client import TestClient
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.neighbours.hanging_store import HangingStore
from tests.waits import until_async

pytestmark = pytest.mark.anyio

ROUTE_TIMEOUT_SECONDS = 10
"""Far less than a store may hang."""
SECONDS = 0.05
TIME_TO_BEGIN_SECONDS = 0.5
"""More than a thread takes to begin where none hangs, however busy the machine is."""


@pytest.fixture
async def store(world):
    media = world.made.media
    media.store = store = HangingStore(media.store)
    yield store
    store.go_on.set()
    services = world.services
    pools = [services.threads, services.health_threads, *vars(services.media_threads).values()]
    # they use the database, which is closed next
    await until_async(lambda: not any(pool.busy for pool in pools))


@pytest.fixture
def tracks(world, alice):
    with TestClient(world.app) as client:
        return [upload(client, alice, title=f"Song {seed}", seed=seed) for seed in (1, 2)]


@pytest.fixture
def small(world):
    """The service with two threads for each kind of work on media, which wait for a short time only."""
    pools = {
        name: StoreThreads(Threads(name, 2, max_wait_seconds=TIME_TO_BEGIN_SECONDS))
        for name in vars(world.services.media_threads)
    }
    world.serve(media_threads=replace(world.services.media_threads, **pools))


def address(track):
    return "/audio/" + track["audio_url"].rsplit("/", 1)[1]


def caller(world, number):
    transport = httpx.ASGITransport(world.app, client=(f"192.0.2.{number}", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def answers(client, track, person):
    """Every kind of route that needs no bytes answers."""
    async with asyncio.timeout(ROUTE_TIMEOUT_SECONDS):
        path = f"/tracks/{track['id']}"
        found = await asyncio.gather(
            client.get("/healthz"),
            client.get("/readyz"),
            client.get("/me", headers=person.headers),
            client.get(path),
            client.patch(path, json={"title": "Other"}, headers=person.headers),
        )
    assert [each.status_code for each in found] == [200] * 5


@asynccontextmanager
async def requests(count, ask):
    """Requests that are under way during the block; at its end they may go on alone."""
    asked = [asyncio.create_task(ask(number)) for number in range(count)]
    yield asked
    await asyncio.gather(*asked)


async def test_reads_that_hang_stop_no_other_route(world, store, tracks, alice):
    store.hanging = {"read"}

    async def listen(number):
        async with caller(world, number) as client:
            return await client.get(address(tracks[0]))

    async with requests(60, listen) as listening, caller(world, 99) as client:
        await until_async(lambda: store.waiting == media_request.MAX_CONCURRENT_READS)
        await answers(client, tracks[0], alice)
        store.go_on.set()
    assert {each.result().status_code for each in listening} <= {200, 503}


@pytest.mark.usefixtures("small")
async def test_a_read_that_no_thread_begins_in_time_is_refused(world, store, tracks):
    store.hanging, store.only_key = {"read"}, None

    async def listen(number):
        async with caller(world, number) as client:
            return await client.get(address(tracks[0]))

    async with requests(2, listen):
        await until_async(lambda: store.waiting == 2)
        refused = await listen(3)
        store.go_on.set()
    assert refusal(refused) == (503, "not_ready")
    assert int(refused.headers["retry-after"]) > 0
    assert (await listen(3)).status_code == 200


async def test_no_work_on_media_is_without_a_limit_of_time(world):
    go_on = threading.Event()
    for pool in vars(world.services.media_threads).values():
        assert type(pool) is StoreThreads  # which has no other way to run work
        with pytest.raises(StoreUnavailableError):
            await pool.run(SECONDS, go_on.wait)
    go_on.set()


async def test_one_caller_cannot_take_the_threads_of_all_readers(world, store, tracks, monkeypatch):
    monkeypatch.setattr(media_request, "MAX_READ_WAIT_SECONDS", SECONDS)
    store.hanging = {"read"}
    store.only_key = world.made.media.find(tracks[0]["audio_url"].rsplit("/", 1)[1].split(".")[0]).key
    async with (
        caller(world, 1) as one,
        caller(world, 2) as other,
        requests(40, lambda _number: one.get(address(tracks[0]))) as listening,
    ):
        await until_async(lambda: sum(each.done() for each in listening) == 36)
        assert store.waiting == media_request.MAX_CONCURRENT_READS_OF_ONE_CALLER
        assert (await other.get(address(tracks[1]))).status_code == 200
        store.go_on.set()
    assert sorted(each.result().status_code for each in listening) == [200] * 4 + [503] * 36


async def test_who_reads_slowly_has_few_files_under_way_and_a_place_is_free_when_one_has_ended(
    world, tracks, monkeypatch
):
    monkeypatch.setattr(concurrency, "MAX_DOWNLOADS", concurrency.MAX_DOWNLOADS_OF_A_CALLER + 1)
    world.serve()
    go_on = asyncio.Event()

    async def read_slowly(address_of_caller):
        async def send(message):
            began.append(message.get("status"))
            if began[0] == 200 and message["type"] == "http.response.body":
                await go_on.wait()

        async def receive():
            await go_on.wait()
            return {"type": "http.disconnect"}

        began = []
        scope = {"type": "http", "method": "GET", "path": address(tracks[0]), "query_string": b""}
        await world.app({**scope, "headers": [], "client": (address_of_caller, 1)}, receive, send)
        return began[0]

    reading = [asyncio.create_task(read_slowly(f"2001:db8:0:{number}::1")) for number in range(100)]
    refused = 100 - concurrency.MAX_DOWNLOADS_OF_A_CALLER
    await until_async(lambda: sum(each.done() for each in reading) == refused)
    async with caller(world, 1) as client:
        assert (await client.get(address(tracks[0]))).status_code == 200
        reading.append(asyncio.create_task(read_slowly("192.0.2.2")))
        await until_async(lambda: world.app.state.downloads._under_way["192.0.2.2"])  # noqa: SLF001
        full = await client.get(address(tracks[0]))
        assert (refusal(full), full.headers["retry-after"]) == ((429, "rate_limited"), "5")
        go_on.set()
        assert Counter(await asyncio.gather(*reading)) == {200: 101 - refused, 429: refused}
        assert (await client.get(address(tracks[0]))).status_code == 200


async def test_a_read_that_hangs_is_answered_and_its_caller_waits_until_the_thread_is_free(
    world, store, tracks, monkeypatch
):
    monkeypatch.setattr(media_request, "MAX_READ_WAIT_SECONDS", SECONDS)
    monkeypatch.setattr(media_request, "READ_TIMEOUT_SECONDS", SECONDS)
    store.hanging = {"read"}
    async with caller(world, 1) as client:
        for _ in range(8):
            assert refusal(await client.get(address(tracks[0]))) == (503, "not_ready")
        assert store.waiting == media_request.MAX_CONCURRENT_READS_OF_ONE_CALLER
        store.go_on.set()
        await until_async(lambda: store.waiting == 0)
        assert (await client.get(address(tracks[0]))).status_code == 200


@pytest.mark.usefixtures("small")
async def test_writes_that_hang_stop_no_other_route_and_no_reads(world, store, tracks, alice, bob):
    store.hanging = {"write"}

    async def send(number, person=bob):
        files = {"file": ("song.mp3", samples.mp3(10 + number), "audio/mpeg")}
        async with caller(world, number) as client:
            return await client.post("/tracks", data={"title": "New"}, files=files, headers=person.headers)

    async with requests(2, send) as sending, caller(world, 99) as client:
        await until_async(lambda: store.waiting == 2)
        await answers(client, tracks[0], alice)
        assert (await client.get(address(tracks[0]))).status_code == 200
        refused = await send(3, alice)
        assert (refusal(refused), "retry-after" in refused.headers) == ((503, "not_ready"), True)
        store.go_on.set()
    assert [each.result().status_code for each in sending] == [201, 201]


async def test_an_upload_whose_write_hangs_is_answered(world, store, bob, monkeypatch):
    store.hanging = {"write"}
    files = {"file": ("song.mp3", samples.mp3(10), "audio/mpeg")}
    async with caller(world, 1) as client:
        ask = partial(client.post, "/tracks", data={"title": "New"}, files=files, headers=bob.headers)
        with monkeypatch.context() as brief:
            brief.setattr(media_intake, "MAX_INTAKE_WAIT_SECONDS", 0)
            brief.setattr(media_intake, "store_seconds", lambda _size: SECONDS)
            assert refusal(await ask()) == (503, "not_ready")
        store.go_on.set()
        assert (await ask()).status_code == 201


async def test_a_sweep_whose_list_hangs_locks_nothing(world, store, tracks, alice):
    store.hanging = {"list"}
    sweeping = asyncio.create_task(asyncio.to_thread(sweep_media, world.made))
    async with caller(world, 1) as client:
        await until_async(lambda: store.waiting == 1)
        await answers(client, tracks[0], alice)
        assert (await client.get(address(tracks[0]))).status_code == 200
    store.go_on.set()
    await sweeping


@pytest.mark.usefixtures("tracks")
@pytest.mark.parametrize("what", ["store", "disk"])
async def test_readiness_is_answered_while_the_store_or_a_disk_hangs(world, store, monkeypatch, what):
    monkeypatch.setattr(readiness, "SAMPLE_TIMEOUT_SECONDS", SECONDS)
    world.serve(not_ready_because=world.made.services.not_ready_because)
    if what == "store":
        store.hanging = {"size"}
    else:
        monkeypatch.setattr(readiness, "free_bytes", lambda _folder: store.go_on.wait(30))
    async with caller(world, 1) as client:
        async with asyncio.timeout(ROUTE_TIMEOUT_SECONDS):
            found = await asyncio.gather(*(client.get("/readyz") for _ in range(60)))
    assert {each.status_code for each in found} == {200}
    assert {each.json()["media"].endswith("does not answer") for each in found} == {True}


async def test_readiness_is_answered_while_its_checks_hang(world, store, alice, monkeypatch):
    monkeypatch.setattr("api.routers.health.READY_TIMEOUT_SECONDS", SECONDS)
    world.serve(not_ready_because=lambda: store.go_on.wait(30) and None)
    async with caller(world, 1) as client:
        async with asyncio.timeout(ROUTE_TIMEOUT_SECONDS):
            found = await asyncio.gather(*(client.get("/readyz") for _ in range(60)))
        assert {refusal(each) for each in found} == {(503, "not_ready")}
        assert (await client.get("/me", headers=alice.headers)).status_code == 200


async def test_work_that_no_thread_begins_in_time_is_never_done():
    threads, go_on, done = Threads("test", 1, max_wait_seconds=SECONDS), asyncio.Event(), []
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(threads.run(asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result, 30))
    await asyncio.sleep(0)
    with pytest.raises(ThreadsBusyError):
        await threads.run(done.append, 1)
    go_on.set()
    assert await first
    await threads.run(done.append, 2)
    assert done == [2]
