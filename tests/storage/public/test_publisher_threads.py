"""Publishers in threads: removals do not wait for copies, and several publishers agree in the end."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from eventstore.coordination import due_parts
from storage.public import publisher
from storage.public.copies import Action, public_audio, public_copy
from tests.dsl import ALICE, BOB
from tests.storage.public.public_rig import Rig, gate, run_due, running, ungate, worker_of
from tests.waits import until


def test_a_gated_copy_is_removed_at_once_although_large_copies_are_being_made(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_parts, "IDLE_SECONDS", 3600.0)
    monkeypatch.setitem(publisher.MAX_CONCURRENT, Action.PUBLISH, 1)
    name = rig.upload(1, number=1)
    rig.publish_due()
    copying, may_end, gone = threading.Event(), threading.Event(), threading.Event()

    def at(step: str) -> None:
        if step == "before publish":
            copying.set()
            may_end.wait(20)
        elif step == "after unpublish":
            gone.set()

    rig.copies.at = at
    rig.upload(2, number=2)
    rig.upload(3, number=3)
    with running(worker_of(rig.another())) as wake:
        assert copying.wait(20)
        rig.change(gate, track_id=1)
        wake()
        assert gone.wait(20)
        assert name not in rig.copies.names
        may_end.set()


def test_a_worker_that_stops_waits_for_no_copy_and_the_next_one_finds_it_made(rig: Rig) -> None:
    name = rig.upload()
    copying, may_end = threading.Event(), threading.Event()

    def at(step: str) -> None:
        if step == "before publish":
            copying.set()
            may_end.wait(20)

    rig.copies.at = at
    with running(worker_of(rig.another())):
        assert copying.wait(20)
    assert rig.state(name) == "uncertain"
    may_end.set()
    until(lambda: rig.state(name) == "public")
    assert rig.publish_due() == {name}
    assert rig.copies.done == [("publish", name)]


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
            run_due(publishers[index])

    with ThreadPoolExecutor(3) as threads:
        working = [threads.submit(work, index) for index in range(3)]
        for _ in range(30):
            track_id, did, _number = chance.choice(artists)
            rig.change(chance.choice((gate, ungate)), track_id=track_id, did=did)
        ended.set()
        for each in working:
            each.result(60)
    rig.later(2)  # one that found another action under way looks again
    with rig.database.read() as connection:
        wanted = set(connection.scalars(select(public_audio.c.name).where(public_audio.c.wanted)))
    assert rig.publish_due() == wanted
    with rig.database.read() as connection:
        assert not connection.execute(select(public_copy).where(public_copy.c.state == "uncertain")).all()
