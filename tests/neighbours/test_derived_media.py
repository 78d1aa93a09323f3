"""What is derived from media is made in slots and threads of its own: hosts and a store that hang stop nothing else."""

import asyncio
from collections import Counter

import httpx
import pytest
from sqlalchemy import delete

from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import JobState, job
from replay import derived as worker
from storage.derived.renditions import DerivedKind, rendition
from tests.api.client import TestClient
from tests.api.world import upload
from tests.media_samples import samples
from tests.neighbours.hanging_store import HangingStore
from tests.replay.adoption.rig import AdoptRig, rig
from tests.replay.test_derived import cover_worker, has_cover, jobs_of
from tests.storage.other_program import changed
from tests.waits import until_async

__all__ = ["rig"]
pytestmark = pytest.mark.anyio

FAST = "https://fast.com/cover.png"


class HangingHosts:
    """Every host but fast.com sends nothing before `go_on`."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.waiting: Counter[str] = Counter()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "fast.com":
            self.waiting[request.url.host] += 1
            await self.go_on.wait()
        return httpx.Response(200, content=samples.png())


def wanted(rig: AdoptRig, *urls: str) -> None:
    """Each of an account of its own."""
    with rig.database.write() as connection:
        each = [Wanted(DerivedKind.COVER, url, url, httpx.URL(url).host) for url in urls]
        queue.request(connection, each, rig.database.now(connection))


async def test_a_host_that_hangs_takes_one_slot(rig: AdoptRig) -> None:
    hosts = HangingHosts()
    wanted(rig, *(f"https://slow.com/{number}" for number in range(9)))
    wanted(rig, FAST)
    async with httpx.AsyncClient(transport=httpx.MockTransport(hosts)) as http:
        working = asyncio.create_task(cover_worker(rig, http).run_once())
        await until_async(lambda: has_cover(rig, FAST))
        assert hosts.waiting == {"slow.com": 1}
        hosts.go_on.set()
        await working
    assert (hosts.waiting, jobs_of(rig)) == ({"slow.com": 9}, {})


async def test_hosts_that_hang_give_their_slots_back_in_time(
    rig: AdoptRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "COVER_TIMEOUT_SECONDS", 0.5)
    hosts = HangingHosts()
    slow = [f"https://slow{number}.com/" for number in range(worker.MAX_CONCURRENT[DerivedKind.COVER] + 2)]
    wanted(rig, *slow)
    wanted(rig, FAST)
    async with httpx.AsyncClient(transport=httpx.MockTransport(hosts)) as http:
        await cover_worker(rig, http).run_once()
    assert has_cover(rig, FAST)
    assert jobs_of(rig) == dict.fromkeys(slow, JobState.WAITING)


async def test_a_decoder_that_hangs_takes_one_slot_and_no_route(world, alice, tmp_path):
    started = tmp_path / "started"
    hang = f"import os, time; os.mkdir({str(started)!r}); time.sleep(600)"
    with TestClient(world.app) as client:
        tracks = [upload(client, alice, seed=seed, image=samples.png(200, 100 + seed)) for seed in (1, 2)]
    world.execute(delete(rendition))
    transport = httpx.ASGITransport(world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        with changed(world.made.parsers, tmp_path, "waveform", hang):
            working = asyncio.create_task(world.made.worker.run())
            await until_async(started.exists)
            await until_async(lambda: len(covers_made(world)) == 2)
            found = await client.get(f"/tracks/{tracks[0]['id']}/waveform")
            assert found.json()["detail"]["error"] == "waveform_not_ready"
            assert (await client.get(f"/tracks/{tracks[1]['id']}/artwork?size=480")).status_code == 200
            working.cancel()
            await asyncio.wait({working})
    jobs = world.rows(job.select().where(job.c.kind == DerivedKind.WAVEFORM))
    assert [(each.state, each.attempts) for each in jobs] == [(JobState.WAITING, 0)] * 2


def covers_made(world):
    return {row.source for row in world.rows(rendition.select())}


async def test_a_store_that_hangs_takes_one_slot_of_its_kind_and_no_route(world, alice):
    with TestClient(world.app) as client:
        tracks = [upload(client, alice, seed=seed, image=samples.png(200, 100 + seed)) for seed in (1, 2, 3)]
    world.execute(delete(rendition))
    media = world.made.media
    media.store = store = HangingStore(media.store)
    store.hanging = {"read"}
    working = asyncio.create_task(world.made.worker.run_once())
    await until_async(lambda: store.waiting == 2)  # a cover and a sound
    store.hanging = set()
    transport = httpx.ASGITransport(world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answers = await asyncio.gather(
            client.get(f"/tracks/{tracks[0]['id']}"),
            client.get("/audio/" + tracks[0]["audio_url"].rsplit("/", 1)[1]),
            client.get(f"/tracks/{tracks[0]['id']}/artwork?size=480"),
        )
    assert [each.status_code for each in answers] == [200] * 3
    assert store.waiting == 2
    store.go_on.set()
    await working
    assert len(covers_made(world)) == 3
