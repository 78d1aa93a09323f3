"""Requests that come twice, at once, or with more than a record can hold, and what hangs meanwhile."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from tests.api.world import refusal, upload
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.media_samples import samples

T = TypeVar("T")


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Do these at the same time, and give what came of each."""
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


def test_inc_37_a_title_that_no_record_could_hold_is_refused_before_anything_is_written(client, world, alice):
    track = upload(client, alice)
    before = world.state()

    answer = client.patch(f"/tracks/{track['id']}", json={"title": "x" * 257}, headers=alice.headers)

    assert refusal(answer) == (400, "invalid_field")
    assert answer.json()["detail"]["field"] == "title"
    assert world.state() == before
    longest = client.patch(f"/tracks/{track['id']}", json={"title": "x" * 256}, headers=alice.headers)
    assert longest.status_code == 200
    world.deliver()
    assert world.record(track)["title"] == "x" * 256


def test_inc_32_a_move_to_another_collection_that_is_asked_for_twice_is_one_and_loses_no_field(world, alice):
    old = world.serve(collection=OLD_COLLECTION)
    fields = {"description": "Words.", "album": "Pressings", "tags": ["demo"], "self_labels": ["explicit"]}
    tracks = [
        upload(old, alice, title=f"Take {seed}", seed=seed, image=samples.png(), **fields)
        for seed in range(3)
    ]
    world.deliver()
    theirs = {"com.example.mood": "blue"}
    world.pds.records[tracks[0]["atproto_record_uri"]] |= theirs
    old.patch(f"/tracks/{tracks[0]['id']}", json={"title": "Second Thoughts"}, headers=alice.headers)
    world.deliver()
    before = {uri.replace(OLD_COLLECTION, COLLECTION): record for uri, record in world.pds.records.items()}
    assert {uri.split("/")[3] for uri in world.pds.records} == {OLD_COLLECTION}
    new = world.serve(collection=COLLECTION)

    world.pds.write_refusals.append((500, "InternalServerError"))
    for _ in range(2):
        for track in tracks:
            path = f"/tracks/{track['id']}/migrate-namespace"
            answer = new.post(path, headers={**alice.headers, "Prefer": "wait=0"})
            assert answer.status_code in {200, 202}
            new.post(f"/tracks/{track['id']}/mirror/retry", headers=alice.headers)
        world.deliver()

    assert set(world.pds.records) == set(before)
    for uri, record in world.pds.records.items():
        moved = {"$type": COLLECTION, "mastertapeGen": record["mastertapeGen"]}
        assert record == before[uri] | moved
    assert theirs.items() <= world.record(new.get(f"/tracks/{tracks[0]['id']}").json()).items()
    assert [world.events(track["id"]).count("NamespaceMigrated") for track in tracks] == [1] * 3


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
