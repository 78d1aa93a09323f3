"""docs/incidents.md names a test of every incident; here are those that belong to no other subject."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
INCIDENTS = range(1, 56)


def test_every_incident_has_a_row_with_a_test_and_none_two() -> None:
    """That the test exists is shown by tests/service/pages/test_guarantees.py."""
    page = (ROOT / "docs" / "incidents.md").read_text()
    found = re.findall(r"^\| INC-(\d\d) \|.*\| `tests/\S+\.py::\w+` \|$", page, re.MULTILINE)
    assert list(map(int, found)) == list(INCIDENTS)


def at_once(*acts: Callable[[], T]) -> list[T]:
    ready = threading.Barrier(len(acts))

    def act(each: Callable[[], T]) -> T:
        ready.wait()
        return each()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def test_inc_33_two_edits_with_the_same_new_tag_are_both_kept(client, alice, bob):
    tracks = [(upload(client, person, seed=seed), person) for seed, person in enumerate((alice, bob, alice))]

    def retitles(track, person):
        body = {"title": f"Take {track['id']}", "tags": ["brand new"]}
        return lambda: client.patch(f"/tracks/{track['id']}", json=body, headers=person.headers)

    answers = at_once(*(retitles(*each) for each in tracks))

    assert [each.status_code for each in answers] == [200] * 3
    listed = client.get("/tracks?tag=brand new").json()["items"]
    assert {each["title"] for each in listed} == {f"Take {track['id']}" for track, _ in tracks}


@ON_SQLITE
def test_inc_36_a_record_keeps_the_address_of_its_cover_when_the_store_has_lost_that(client, world, alice):
    track = upload(client, alice, image=samples.png())
    world.deliver()
    store = world.made.media.store
    for each in list(store.stored()):
        store.delete(each.key)
    address = track["image_url"].removeprefix(world.services.base_url)
    assert client.get(address).status_code == 404

    client.patch(f"/tracks/{track['id']}", json={"title": "Second Thoughts"}, headers=alice.headers)
    world.deliver()

    assert world.record(track)["imageUrl"] == track["image_url"]
    assert client.get(f"/tracks/{track['id']}").json()["image_url"] == track["image_url"]


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
    assert world.database.connections_in_use == 0
