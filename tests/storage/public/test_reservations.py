"""A copy that a command holds is there before any track names it, and stays only if one does."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from storage.errors import StoreUnavailableError
from tests.dsl import ALICE
from tests.storage.public.public_rig import ENVELOPE, Once, Rig, crash, gate, ungate
from tests.storage.stepped_threads import CrashError


def test_a_held_copy_is_there_before_any_track_names_it(rig: Rig) -> None:
    audio = rig.audio()
    held = rig.publisher.hold(audio.cid, "mp3", audio.mime)
    assert rig.look() == {held.name}
    with rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.publisher.release(unit.connection, held)
    assert rig.look() == set()


def test_a_held_copy_stays_when_the_command_commits(rig: Rig) -> None:
    name = rig.upload(gated=True)
    held = rig.publisher.hold(name.split(".")[0], "mp3", "audio/mpeg")
    with rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.tell_within(unit, ungate)
        rig.publisher.release(unit.connection, held)
    rig.later(3600)
    assert rig.look() == {name}
    assert rig.copies.done == [("publish", name)]


def test_a_held_copy_goes_when_the_command_fails_or_dies(rig: Rig) -> None:
    audio = rig.audio()
    rig.publisher.let_go(rig.publisher.hold(audio.cid, "mp3", audio.mime))
    assert rig.look() == set()
    rig.publisher.hold(audio.cid, "mp3", audio.mime)
    assert len(rig.look()) == 1
    rig.later(600)
    assert rig.look() == set()


def test_one_command_s_failure_leaves_another_s_copy(rig: Rig) -> None:
    audio = rig.audio()
    first = rig.publisher.hold(audio.cid, "mp3", audio.mime)
    second = rig.another().hold(audio.cid, "mp3", audio.mime)
    rig.publisher.let_go(first)
    assert rig.look() == {second.name}


def test_a_hold_that_comes_while_the_copy_is_deleted_ends_with_the_copy(rig: Rig) -> None:
    name = rig.upload()
    rig.look()
    rig.tell(gate)
    with ThreadPoolExecutor(1) as threads:
        holding = []

        def hold_beside() -> None:
            holding.append(threads.submit(rig.another().hold, name.split(".")[0], "mp3", "audio/mpeg"))
            threading.Event().wait(0.3)

        rig.copies.at = Once("before unpublish", hold_beside)
        rig.publisher.run_once()
        holding[0].result(20)
    assert set(rig.copies.names) == {name}


def test_a_command_does_not_wait_for_ever_for_another_process(rig: Rig) -> None:
    name = rig.upload()
    rig.copies.at = Once("before publish", crash)
    with pytest.raises(CrashError):
        rig.look()
    impatient = rig.another(patience=timedelta(seconds=0.1))
    with pytest.raises(StoreUnavailableError):
        impatient.hold(name.split(".")[0], "mp3", "audio/mpeg")


def test_a_command_is_refused_while_the_store_is_away_and_leaves_nothing(rig: Rig) -> None:
    audio = rig.audio()
    rig.fail()
    with pytest.raises(StoreUnavailableError):
        rig.publisher.hold(audio.cid, "mp3", audio.mime)
    rig.recover()
    rig.later(61)
    assert rig.look() == set()
    assert rig.state(f"{audio.cid}.mp3") == "absent"
