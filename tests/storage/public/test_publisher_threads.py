"""Publishers in threads: removals do not wait for copies, and several publishers agree in the end."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from storage.public import publisher
from storage.public.tables import public_audio, public_copy
from tests.dsl import ALICE, BOB
from tests.storage.public.public_rig import Rig, gate, ungate


def test_a_gated_copy_is_removed_at_once_although_a_large_copy_is_being_made(rig: Rig) -> None:
    name = rig.upload(1, number=1)
    rig.publish_due()
    copying, may_end, gone = threading.Semaphore(0), threading.Event(), threading.Event()

    def at(step: str) -> None:
        if step == "before publish":
            copying.release()
            may_end.wait(20)
        elif step == "after unpublish":
            gone.set()

    rig.copies.at = at
    rig.publisher.start()
    try:
        rig.upload(2, number=2)
        rig.upload(3, number=3)
        rig.publisher.wake()
        assert copying.acquire(timeout=20)
        assert not copying.acquire(timeout=0.5)  # one at a time: the other thread is for what goes
        rig.change(gate, track_id=1)
        rig.publisher.wake()
        assert gone.wait(4)  # sooner than the next look
        assert name not in rig.copies.names
    finally:
        may_end.set()
        rig.publisher.stop(20)


def test_a_publisher_survives_an_unreachable_database(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(publisher, "MAX_BACKOFF_SECONDS", 0.01)
    failed = threading.Event()
    read = rig.database.read

    def away() -> object:
        failed.set()
        raise OSError("away")

    monkeypatch.setattr(rig.database, "read", away)
    rig.publisher.start()
    published = threading.Event()
    rig.copies.at = lambda step: published.set() if step == "after publish" else None
    try:
        assert failed.wait(20)
        monkeypatch.setattr(rig.database, "read", read)
        rig.upload()
        assert published.wait(20)
    finally:
        rig.publisher.stop(20)


@pytest.mark.parametrize("seed", range(3))
def test_concurrent_publishers_and_edits_end_with_the_wanted_copies(rig: Rig, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    artists = [(1, ALICE, 1), (2, BOB, 1), (3, ALICE, 2), (4, BOB, 3)]
    for track_id, did, number in artists:
        rig.upload(track_id, did=did, number=number)
    publishers = [rig.another() for _ in range(3)]
    ended = threading.Event()

    def work(index: int) -> None:
        while not ended.is_set():
            publishers[index].run_once()

    with ThreadPoolExecutor(3) as threads:
        working = [threads.submit(work, index) for index in range(3)]
        for _ in range(30):
            track_id, did, _number = chance.choice(artists)
            rig.change(chance.choice((gate, ungate)), track_id=track_id, did=did)
        ended.set()
        for each in working:
            each.result(60)
    with rig.database.read() as connection:
        wanted = set(connection.scalars(select(public_audio.c.name).where(public_audio.c.wanted)))
    assert rig.publish_due() == wanted
    with rig.database.read() as connection:
        assert not connection.execute(select(public_copy).where(public_copy.c.state == "uncertain")).all()
