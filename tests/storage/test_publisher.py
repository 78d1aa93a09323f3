"""A public copy is there exactly while an ungated live track names it, whatever happens in between."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from aggregates.track import Track
from storage import publisher
from storage.errors import StoreUnavailableError
from storage.public_rows import LEASE, claim, open_names, pause, settle
from storage.public_tables import public_audio, public_copy
from tests.dsl import ALICE, BOB, some_time
from tests.storage.actors import CrashError
from tests.storage.public_rig import ENVELOPE, Once, Rig, delete, gate, undelete, ungate

STEPS = ["before publish", "after publish", "before unpublish", "after unpublish"]


def crash() -> None:
    raise CrashError


def test_an_upload_is_public_with_its_type(rig: Rig) -> None:
    name = rig.upload()
    assert rig.look() == {name}
    assert rig.copies.names == {name: "audio/mpeg"}


@pytest.mark.parametrize(("away", "back"), [(gate, ungate), (delete, undelete)])
def test_what_is_gated_or_deleted_goes_and_comes_back(
    rig: Rig, away: Callable[[Track], None], back: Callable[[Track], None]
) -> None:
    name = rig.upload()
    rig.look()
    rig.tell(away)
    assert rig.look() == set()
    rig.tell(back)
    assert rig.look() == {name}


def test_what_is_gated_from_the_start_is_never_public(rig: Rig) -> None:
    rig.upload(gated=True)
    rig.look()
    rig.tell(delete, undelete)
    rig.look()
    assert rig.copies.done == []


def test_replaced_audio_goes_and_the_new_is_there(rig: Rig) -> None:
    rig.upload()
    rig.look()
    new = rig.audio(2)
    rig.tell(lambda track: track.replace_audio(new, at=some_time(20)))
    assert rig.look() == {f"{new.cid}.mp3"}


def test_other_edits_do_not_touch_the_copy(rig: Rig) -> None:
    rig.upload()
    rig.look()
    rig.tell(lambda track: track.update_metadata({"title": "other"}, at=some_time(20)))
    assert rig.publisher.run_once() == 0
    assert len(rig.copies.done) == 1


def test_one_artist_does_not_take_the_copy_of_another(rig: Rig) -> None:
    name = rig.upload(1, did=ALICE)
    rig.upload(2, did=BOB)
    rig.look()
    rig.tell(gate, track_id=1)
    assert rig.look() == {name}
    assert rig.copies.done == [("publish", name)]  # not even for a moment
    rig.tell(gate, track_id=2, did=BOB)
    assert rig.look() == set()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("meanwhile", ["nothing", "the wish changes"])
def test_after_a_crash_at_any_step_the_next_pass_heals(rig: Rig, step: str, meanwhile: str) -> None:
    name = rig.upload()
    wanted = "unpublish" not in step
    if not wanted:
        rig.look()
        rig.tell(gate)
    rig.copies.at = Once(step, crash)
    with pytest.raises(CrashError):
        rig.look()
    assert rig.state(name) == "uncertain"
    if meanwhile == "the wish changes":
        rig.tell(gate if wanted else ungate)
        wanted = not wanted
    rig.later(LEASE.total_seconds() + 1)
    assert rig.look() == ({name} if wanted else set())
    assert rig.state(name) == ("public" if wanted else "absent")


def test_between_intent_and_copy_a_crash_is_seen_by_nobody_before_the_lease_ends(rig: Rig) -> None:
    rig.upload()
    rig.copies.at = Once("before publish", crash)
    with pytest.raises(CrashError):
        rig.look()
    assert rig.look() == set()
    rig.later(LEASE.total_seconds() + 1)
    assert len(rig.look()) == 1


def test_a_store_that_is_away_is_tried_again_and_nothing_is_lost(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = rig.upload(1, number=1), rig.upload(2, number=2)
    rig.look()
    rig.tell(gate, track_id=1)
    third = rig.upload(3, number=3)
    rig.fail()
    for _ in range(3):
        assert rig.look() == {first, second}
        rig.later(120)
    assert rig.look() == {first, second}
    assert {(record.copy, record.attempts) for record in caplog.records if "not as" in record.message} >= {  # type: ignore[attr-defined]
        (first, 1), (first, 4), (third, 1), (third, 4)
    }  # fmt: skip
    rig.recover()
    assert rig.look() == {first, second}  # not at once: there is a pause
    rig.later(120)
    assert rig.look() == {second, third}


def test_a_changed_wish_is_tried_at_once(rig: Rig) -> None:
    rig.upload()
    rig.fail()
    rig.look()
    rig.recover()
    rig.tell(gate, ungate)
    assert len(rig.look()) == 1


def test_pauses_grow_to_a_minute() -> None:
    assert timedelta(seconds=0.25) <= pause(0) <= timedelta(seconds=0.5)
    assert timedelta(seconds=30) <= pause(1000) <= timedelta(seconds=60)


def test_bytes_that_are_gone_are_no_public_copy(rig: Rig) -> None:
    rig.upload()
    rig.store.copies.clear()
    assert rig.look() == set()
    rig.audio()  # uploaded again
    rig.later(120)
    assert len(rig.look()) == 1


def test_what_is_gated_while_it_is_copied_goes_at_once(rig: Rig) -> None:
    rig.upload()
    rig.copies.at = Once("before publish", lambda: rig.tell(gate))
    assert rig.look() == set()


def test_what_is_ungated_while_it_is_deleted_comes_back_at_once(rig: Rig) -> None:
    name = rig.upload()
    rig.look()
    rig.tell(gate)
    rig.copies.at = Once("before unpublish", lambda: rig.tell(ungate))
    assert rig.look() == {name}


def test_a_copy_that_lands_after_its_lease_is_noticed(rig: Rig) -> None:
    rig.upload()
    other = rig.another()

    def sleep_over() -> None:
        rig.later(LEASE.total_seconds() + 1)
        rig.tell(gate)
        other.run_once()  # takes it over, takes it away, and is done

    rig.copies.at = Once("before publish", sleep_over)
    assert rig.look() == set()


def test_a_late_copy_is_noticed_although_another_has_deleted_it_just_then(rig: Rig) -> None:
    name = rig.upload()
    late = claim(rig.database, name)
    rig.later(LEASE.total_seconds() + 1)
    rig.tell(gate)
    other = claim(rig.database, name)
    rig.copies.unpublish(name)
    rig.copies.publish(rig.key(name), name, "audio/mpeg")
    assert not settle(rig.database, late)
    assert not settle(rig.database, other)  # it can't know that its delete came before
    assert rig.look() == set()


def test_no_transaction_is_open_while_the_store_works(rig: Rig) -> None:
    seen: list[bool] = []
    rig.copies.at = lambda _step: seen.append(rig.database.in_transaction)
    rig.upload()
    rig.look()
    rig.tell(gate)
    rig.look()
    assert seen == [False] * 4


def test_nothing_is_decided_on_a_wish_that_is_not_committed(rig: Rig) -> None:
    name = rig.upload()
    rig.look()
    if rig.database.is_sqlite:
        return  # one writer at a time
    rig.tell(gate, ungate)  # the copy is to be looked at
    with ThreadPoolExecutor(1) as threads, rig.log.unit_of_work(ALICE, ENVELOPE) as unit:
        rig.tell_within(unit, gate)
        assert threads.submit(rig.look).result(5) == {name}  # and does not wait
    assert rig.look() == set()


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


def test_what_goes_goes_first(rig: Rig) -> None:
    names = [rig.upload(number, number=number) for number in range(1, 6)]
    first = max(names)
    rig.look()
    for number, name in enumerate(names, 1):
        rig.tell(gate, *(() if name == first else (ungate,)), track_id=number)
        rig.copies.names.pop(name)
    with rig.database.write() as connection:
        connection.execute(update(public_copy).values(state="uncertain"))
    rig.copies.done.clear()
    rig.look()
    assert rig.copies.done[0] == ("unpublish", first)
    assert len(rig.copies.done) == 5


def test_what_is_gated_goes_at_once_although_a_large_copy_is_being_made(rig: Rig) -> None:
    name = rig.upload(1, number=1)
    rig.look()
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
        rig.tell(gate, track_id=1)
        rig.publisher.wake()
        assert gone.wait(4)  # sooner than the next look
        assert name not in rig.copies.names
    finally:
        may_end.set()
        rig.publisher.stop(20)


def test_a_publisher_outlives_a_database_that_is_away(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(publisher, "LONGEST_PAUSE", 0.01)
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
def test_several_processes_and_restless_artists_end_in_agreement(rig: Rig, seed: int) -> None:
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
            rig.tell(chance.choice((gate, ungate)), track_id=track_id, did=did)
        ended.set()
        for each in working:
            each.result(60)
    with rig.database.read() as connection:
        wanted = set(connection.scalars(select(public_audio.c.name).where(public_audio.c.wanted)))
    assert rig.look() == wanted
    with rig.database.read() as connection:
        assert not connection.execute(select(public_copy).where(public_copy.c.state == "uncertain")).all()


def test_work_is_found_by_its_index(rig: Rig) -> None:
    """A look reads what is open, not what is public."""
    with rig.database.write() as connection:
        rows = [{"name": f"n{i}", "cid": f"c{i}", "mime": "m", "state": "public"} for i in range(5000)]
        connection.execute(public_copy.insert(), rows)
        connection.execute(update(public_copy).where(public_copy.c.name == "n7").values(changes=1))
    with rig.database.write() as connection:
        connection.execute(text("analyze public_copy"))
    assert open_names(rig.database, limit=20) == ["n7"]
    explain = "explain query plan " if rig.database.is_sqlite else "explain "
    query = "select name from public_copy where (changes != seen or state = 'uncertain') and not_before <= '2999-01-01'"
    with rig.database.read() as connection:
        plan = " ".join(map(str, connection.execute(text(explain + query)).all()))
    assert "ix_public_copy_open" in plan
