"""A reserved copy is public before any track wants it, and stays only if one does."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from storage.errors import StoreUnavailableError
from tests.dsl import ALICE
from tests.storage.public.public_rig import ENVELOPE, Once, Rig, crash, gate, ungate
from tests.storage.stepped_threads import CrashError


def test_a_reserved_copy_is_public_before_any_track_wants_it(rig: Rig) -> None:
    audio = rig.audio()
    reservation = rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    assert rig.publish_due() == {reservation.name}
    with rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.publisher.release(unit.connection, reservation)
    assert rig.publish_due() == set()


def test_a_reserved_copy_stays_when_the_command_commits(rig: Rig) -> None:
    name = rig.upload(gated=True)
    reservation = rig.publisher.reserve(name.split(".")[0], "mp3", "audio/mpeg")
    with rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.change_within(unit, ungate)
        rig.publisher.release(unit.connection, reservation)
    rig.later(3600)
    assert rig.publish_due() == {name}
    assert rig.copies.done == [("publish", name)]


def test_a_reserved_copy_is_removed_when_the_command_fails_or_its_process_dies(rig: Rig) -> None:
    audio = rig.audio()
    rig.publisher.cancel(rig.publisher.reserve(audio.cid, "mp3", audio.mime))
    assert rig.publish_due() == set()
    rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    assert len(rig.publish_due()) == 1
    rig.later(600)
    assert rig.publish_due() == set()


def test_a_failed_command_keeps_a_copy_that_another_command_reserved(rig: Rig) -> None:
    audio = rig.audio()
    first = rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    second = rig.another().reserve(audio.cid, "mp3", audio.mime)
    rig.publisher.cancel(first)
    assert rig.publish_due() == {second.name}


def test_a_reservation_made_during_a_removal_ends_with_the_copy_public(rig: Rig) -> None:
    name = rig.upload()
    rig.publish_due()
    rig.change(gate)
    with ThreadPoolExecutor(1) as threads:
        reserving = []

        def reserve_meanwhile() -> None:
            reserving.append(threads.submit(rig.another().reserve, name.split(".")[0], "mp3", "audio/mpeg"))
            threading.Event().wait(0.3)

        rig.copies.at = Once("before unpublish", reserve_meanwhile)
        rig.publisher.run_once()
        reserving[0].result(20)
    assert set(rig.copies.names) == {name}


def test_a_command_waits_only_so_long_for_another_publisher(rig: Rig) -> None:
    name = rig.upload()
    rig.copies.at = Once("before publish", crash)
    with pytest.raises(CrashError):
        rig.publish_due()
    short_of_time = rig.another(timeout=timedelta(seconds=0.1))
    with pytest.raises(StoreUnavailableError):
        short_of_time.reserve(name.split(".")[0], "mp3", "audio/mpeg")


def test_a_command_is_refused_while_the_store_is_unavailable_and_leaves_no_copy(rig: Rig) -> None:
    audio = rig.audio()
    rig.fail()
    with pytest.raises(StoreUnavailableError):
        rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    rig.recover()
    rig.later(61)
    assert rig.publish_due() == set()
    assert rig.state(f"{audio.cid}.mp3") == "absent"
