"""A reserved copy is public before any track wants it, and stays only if one does."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from storage.errors import StoreUnavailableError
from storage.public.copies import LEASES_OF_A_HOLD, Reservation, public_hold
from storage.public.review import review
from tests.dsl import ALICE
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.storage.public.public_rig import ENVELOPE, Once, Rig, crash, gate, run_due, ungate
from tests.storage.stepped_threads import CrashError
from tests.waits import until

pytestmark = ON_SQLITE


@ON_BOTH
def test_a_reserved_copy_is_removed_when_the_command_fails_or_its_process_dies(rig: Rig) -> None:
    audio = rig.audio()
    rig.publisher.release(rig.publisher.reserve(audio.cid, "mp3", audio.mime))
    assert rig.publish_due() == set()
    rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    assert len(rig.publish_due()) == 1
    rig.later(600)
    assert rig.publish_due() == set()


def test_a_failed_command_keeps_a_copy_that_another_command_reserved(rig: Rig) -> None:
    audio = rig.audio()
    first = rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    second = rig.another().reserve(audio.cid, "mp3", audio.mime)
    rig.publisher.release(first)
    assert rig.publish_due() == {second.name}


@ON_BOTH
def test_a_reservation_made_during_a_removal_ends_with_the_copy_public(rig: Rig) -> None:
    name = rig.upload()
    rig.publish_due()
    rig.change(gate)
    with ThreadPoolExecutor(1) as threads:
        reserving = []

        def reserve_meanwhile() -> None:
            reserving.append(threads.submit(rig.another().reserve, name.split(".")[0], "mp3", "audio/mpeg"))
            until(lambda: holds(rig) != [])

        rig.copies.at = Once("before unpublish", reserve_meanwhile)
        run_due(rig.publisher)
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


@ON_BOTH
def test_a_reservation_lasts_as_long_as_its_copy_takes(rig: Rig) -> None:
    short = timedelta(seconds=2)
    name = rig.upload(gated=True)
    rig.publisher = publisher = rig.another(lease=short)

    def take_long() -> None:
        for _ in range(LEASES_OF_A_HOLD + 1):
            rig.later(short.total_seconds())
            until(lambda: holds(rig)[0] > rig.clock() + (LEASES_OF_A_HOLD - 1) * short)
            run_due(rig.another())  # ends reservations that are over

    rig.copies.at = Once("before publish", take_long)
    reservation = publisher.reserve(name.split(".")[0], "mp3", "audio/mpeg")
    assert rig.copies.done == [("publish", name)]
    ungate_with(rig, reservation)
    rig.later(3600)  # the track wants it when the reservation is over
    assert rig.publish_due() == {name}
    assert rig.copies.done == [("publish", name)]


def test_a_command_whose_reservation_ended_while_the_copy_was_made_is_refused(rig: Rig) -> None:
    audio = rig.audio()

    def end_it() -> None:
        rig.later(600)
        run_due(rig.another())

    rig.copies.at = Once("before publish", end_it)
    with pytest.raises(StoreUnavailableError):
        rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    assert rig.publish_due() == set()


@ON_BOTH
@pytest.mark.parametrize("passes", [False, True], ids=["over", "over and gone"])
def test_a_unit_whose_reservation_is_over_does_not_commit(rig: Rig, passes: bool) -> None:
    name = rig.upload(gated=True)
    reservation = rig.publisher.reserve(name.split(".")[0], "mp3", "audio/mpeg")
    rig.later(600)
    if passes:
        rig.publish_due()
    with pytest.raises(StoreUnavailableError):
        ungate_with(rig, reservation)
    assert rig.publish_due() == set()


def test_a_unit_whose_copy_is_known_to_be_lost_does_not_commit(rig: Rig) -> None:
    name = rig.upload(gated=True)
    reservation = rig.publisher.reserve(name.split(".")[0], "mp3", "audio/mpeg")
    rig.copies.names.clear()
    review(rig.database, rig.copies)
    with pytest.raises(StoreUnavailableError):
        ungate_with(rig, reservation)


def holds(rig: Rig) -> Sequence[datetime]:
    """Until when each reservation lasts."""
    with rig.database.read() as connection:
        return connection.scalars(select(public_hold.c.until)).all()


def ungate_with(rig: Rig, reservation: Reservation) -> None:
    """A command that makes the track public, with the copy that it has reserved."""
    with rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.change_within(unit, ungate)
        rig.publisher.require_kept(unit.connection, reservation)
