"""A public copy exists exactly while an ungated live track wants it, despite crashes, outages and races."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from eventstore.jobs import queue
from eventstore.jobs.kinds import Job
from storage.public.copies import Action, Begun, begin, settle
from storage.public.publisher import LEASE
from tests.dsl import ALICE, BOB, some_time
from tests.servers.databases import ON_POSTGRES, ON_SQLITE
from tests.storage.public.public_rig import (
    ENVELOPE,
    Once,
    Rig,
    crash,
    gate,
    run_due,
    ungate,
)
from tests.storage.stepped_threads import CrashError

pytestmark = ON_SQLITE

STEPS = ["before publish", "after publish", "before unpublish", "after unpublish"]


def claimed(rig: Rig, name: str, action: Action = Action.PUBLISH) -> Job | None:
    kind = rig.publisher.kinds[action]
    return queue.claim(rig.database, kind, owner="x", lease=LEASE, subject=name, account=ALICE)


def begun(rig: Rig, name: str, action: Action) -> Job:
    job = claimed(rig, name, action)
    assert job is not None
    assert isinstance(begin(rig.database, job), Begun)
    return job


def test_other_edits_do_not_touch_the_copy(rig: Rig) -> None:
    rig.upload()
    rig.publish_due()
    rig.change(lambda track: track.edit({"title": "other"}, at=some_time(20)))
    assert run_due(rig.publisher) == 0
    assert len(rig.copies.done) == 1


def test_one_artist_does_not_take_the_copy_of_another(rig: Rig) -> None:
    name = rig.upload(1, did=ALICE)
    rig.upload(2, did=BOB)
    rig.publish_due()
    rig.change(gate, track_id=1)
    assert rig.publish_due() == {name}
    assert rig.copies.done == [("publish", name)]  # not even for a moment
    rig.change(gate, track_id=2, did=BOB)
    assert rig.publish_due() == set()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("meanwhile", ["nothing", "the desired state changes"])
def test_after_a_crash_at_any_step_the_next_pass_heals(rig: Rig, step: str, meanwhile: str) -> None:
    name = rig.upload()
    wanted = "unpublish" not in step
    if not wanted:
        rig.publish_due()
        rig.change(gate)
    rig.copies.at = Once(step, crash)
    with pytest.raises(CrashError):
        rig.publish_due()
    assert rig.state(name) == "uncertain"
    if meanwhile == "the desired state changes":
        rig.change(gate if wanted else ungate)
        wanted = not wanted
    rig.later(LEASE.total_seconds() + 1)
    assert rig.publish_due() == ({name} if wanted else set())
    assert rig.state(name) == ("public" if wanted else "absent")


def test_an_unavailable_store_is_retried_and_no_change_is_lost(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = rig.upload(1, number=1), rig.upload(2, number=2)
    rig.publish_due()
    rig.change(gate, track_id=1)
    third = rig.upload(3, number=3)
    rig.fail()
    for _ in range(3):
        assert rig.publish_due() == {first, second}
        rig.later(120)
    assert rig.publish_due() == {first, second}
    assert {(record.copy, record.attempts) for record in caplog.records if record.message == "public_copy_failed"} >= {  # type: ignore[attr-defined]
        (first, 1), (first, 4), (third, 1), (third, 4)
    }  # fmt: skip
    rig.recover()
    assert rig.publish_due() == {first, second}  # not at once: there is a retry delay
    rig.later(120)
    assert rig.publish_due() == {second, third}


def test_a_change_of_the_desired_state_is_tried_at_once(rig: Rig) -> None:
    rig.upload()
    rig.fail()
    rig.publish_due()
    rig.recover()
    rig.change(gate, ungate)
    assert len(rig.publish_due()) == 1


def test_bytes_that_are_gone_are_no_public_copy(rig: Rig) -> None:
    rig.upload()
    rig.store.copies.clear()
    assert rig.publish_due() == set()
    rig.audio()  # uploaded again
    rig.later(120)
    assert len(rig.publish_due()) == 1


def test_a_track_gated_during_the_copying_loses_its_copy_at_once(rig: Rig) -> None:
    rig.upload()
    rig.copies.at = Once("before publish", lambda: rig.change(gate))
    assert rig.publish_due() == set()


def test_a_track_ungated_during_the_removal_gets_its_copy_back_at_once(rig: Rig) -> None:
    name = rig.upload()
    rig.publish_due()
    rig.change(gate)
    rig.copies.at = Once("before unpublish", lambda: rig.change(ungate))
    assert rig.publish_due() == {name}


def test_a_late_copy_is_noticed_although_another_publisher_has_just_deleted_it(rig: Rig) -> None:
    name = rig.upload()
    late = begun(rig, name, Action.PUBLISH)
    rig.later(LEASE.total_seconds() + 1)
    run_due(rig.another(), Action.PUBLISH)
    rig.change(gate)
    other = begun(rig, name, Action.REMOVE)
    rig.copies.unpublish(name)
    rig.copies.publish(rig.key(name), name, "audio/mpeg")
    assert not settle(rig.database, late, Action.PUBLISH, LEASE)
    assert not settle(rig.database, other, Action.REMOVE, LEASE)  # it can't know that its delete came before
    assert rig.publish_due() == set()


def test_no_transaction_is_open_while_the_store_works(rig: Rig) -> None:
    seen: list[bool] = []
    rig.copies.at = lambda _step: seen.append(rig.database.in_transaction)
    rig.upload()
    rig.publish_due()
    rig.change(gate)
    rig.publish_due()
    assert seen == [False] * 4


@ON_POSTGRES  # SQLite has one writer at a time
def test_an_uncommitted_change_of_the_desired_state_is_not_acted_on(rig: Rig) -> None:
    name = rig.upload()
    rig.publish_due()
    rig.change(gate, ungate)  # the copy is to be looked at
    with ThreadPoolExecutor(1) as threads, rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.change_within(unit, gate)
        assert threads.submit(rig.publish_due).result(5) == {name}  # and does not wait
    assert rig.publish_due() == set()
