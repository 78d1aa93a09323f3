"""Processes that die or hang during their work."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from devpds.server import DevPds, DevPlc
from tests.api.world import upload
from tests.e2e.artist import seeds
from tests.e2e.killable import KillableService, Victim
from tests.faults.proxy import FaultProxy
from tests.incidents.concurrently import at_once
from tests.incidents.records import told
from tests.media_samples import samples
from tests.servers.atproto import new_account


@pytest.fixture
def victim(tmp_path, proxied_pds: DevPds, plc: DevPlc, proxy: FaultProxy) -> Iterator[Victim]:
    """An artist at a service that is killed at a named point."""
    service = KillableService(tmp_path, proxied_pds, {"MASTERTAPE_RATE_LIMITS": "off"})
    made = Victim(service, proxied_pds, new_account(proxied_pds, plc), proxy)
    made.begins()
    yield made
    made.ends()


@pytest.mark.pds
def test_inc_22_whenever_the_service_dies_track_record_and_audio_agree_afterwards(victim: Victim) -> None:
    """A few points; tests/e2e/test_kill_matrix.py has them all."""
    artist = victim.artist

    def replaces_the_audio() -> None:
        path = f"/tracks/{artist.track_id}/audio"
        artist.client.http.put(path, files={"file": ("b.mp3", samples.mp3(next(seeds)))})

    for point, act in (
        ("append: projected, not committed", replaces_the_audio),
        ("command: committed, not answered", replaces_the_audio),
        ("apply: answered", victim.edits),
    ):
        victim.dies(lambda point=point: victim.service.trigger.arm(point), act)

        victim.converges()

        track, record = artist.client.track(artist.track_id), told(artist.record)
        assert (record["title"], record["audioUrl"]) == (track["title"], track["audio_url"])
        assert artist.client.http.get(track["audio_url"]).is_success
    victim.is_whole()


@pytest.fixture
def hanging_listener(world) -> Iterator[None]:
    """The listener for other processes' commits hangs at the first one, while it holds its connection."""
    hangs, over = threading.Event(), threading.Event()

    def hear() -> None:
        hangs.set()
        over.wait(60)

    async def listen() -> None:
        listening = asyncio.create_task(world.made.listener.run(hear))
        await asyncio.to_thread(over.wait, 60)
        listening.cancel()
        await asyncio.wait({listening})

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    assert hangs.wait(30)
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("hanging_listener")
def test_inc_31_a_hanging_listener_takes_no_connection_from_the_api(client, world, alice):
    track = upload(client, alice)
    path = f"/tracks/{track['id']}"

    def edits() -> int:
        return client.patch(path, json={"title": "Meanwhile"}, headers=alice.headers).status_code

    assert at_once(*[edits, lambda: client.get(path).status_code] * 20) == [200] * 40
    assert world.database.engine.pool.checkedout() == 0
