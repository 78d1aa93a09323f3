import io
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest
from sqlalchemy import select, text

from eventstore.database import Database
from storage.cid import cid_of, new_key
from storage.errors import MediaGoneError, StoreUnavailableError
from storage.media import Media, media
from storage.sweep import STRAY, UNFINISHED, UNNAMED, sweep
from tests.eventstore.jobs.rig import Time
from tests.storage.memory_store import MemoryStore
from tests.storage.references import Names, name, release
from tests.storage.stepped_threads import CrashError

DATA = b"sound"
CID = cid_of(DATA)
NOW = timedelta(0)
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def timed(database: Database, clock: Time) -> Iterator[Database]:
    timed = Database(database.url, clock=clock)
    yield timed
    timed.close()


def add(storage: Media, data: bytes = DATA) -> str:
    cid = cid_of(data)
    storage.add(cid, io.BytesIO(data), len(data), "audio/mpeg")
    return cid


def count(database: Database) -> int:
    with database.read() as connection:
        return len(connection.execute(select(media.c.key)).all())


def crash_at(wanted: str) -> Callable[[str], None]:
    def at(step: str) -> None:
        if step == wanted:
            raise CrashError

    return at


def test_unreferenced_media_is_deleted_with_its_row(
    storage: Media, database: Database, memory: MemoryStore
) -> None:
    add(storage)
    report = sweep(storage, Names(), NOW)
    assert (report.deleted, report.freed_bytes, report.failed) == (1, 5, 0)
    assert memory.copies == {}
    assert count(database) == 0
    assert sweep(storage, Names(), NOW).deleted == 0


def test_media_referenced_by_a_live_state_stays(storage: Media) -> None:
    name(storage, add(storage))
    assert sweep(storage, Names(), NOW).deleted == 0
    assert b"".join(storage.read(CID)) == DATA


def test_media_of_restorable_states_stays_until_the_grace_period_ends(timed: Database, clock: Time) -> None:
    storage = Media(timed, MemoryStore(clock))
    name(storage, add(storage))
    clock.now += 100 * DAY
    release(timed, CID)
    clock.now += 29 * DAY
    assert sweep(storage, Names(), 30 * DAY).deleted == 0
    clock.now += 2 * DAY
    assert sweep(storage, Names(), 30 * DAY).deleted == 1


def test_an_upload_of_what_was_about_to_go_starts_its_grace_anew(timed: Database, clock: Time) -> None:
    storage = Media(timed, MemoryStore(clock))
    add(storage)
    clock.now += 2 * DAY
    add(storage)
    assert sweep(storage, Names(), DAY).deleted == 0


def test_many_pages_are_swept_and_only_what_is_named_stays(
    storage: Media, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.sweep._PAGE", 10)
    cids = [add(storage, bytes([number])) for number in range(25)]
    for cid in cids[::5]:
        name(storage, cid)
    assert sweep(storage, Names(), NOW).deleted == 20
    assert len(memory.copies) == 5


def test_every_deletion_is_logged_with_its_reason(
    storage: Media, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    add(storage)
    memory.at = crash_at("after write")
    with pytest.raises(CrashError):
        add(storage, b"unfinished")
    memory.at = lambda _step: None
    memory.copies[new_key(cid_of(b"stray"))] = b"stray", datetime.now(UTC)
    with caplog.at_level(logging.INFO, "mastertape.storage"):
        sweep(storage, Names(), NOW)
    logged = {(record.cid, record.reason, record.size) for record in caplog.records}  # type: ignore[attr-defined]
    assert logged == {
        (CID, UNNAMED, 5),
        (cid_of(b"unfinished"), UNFINISHED, 10),
        (cid_of(b"stray"), STRAY, 5),
    }
    assert {record.message for record in caplog.records} == {"media_deleted"}


@pytest.mark.parametrize("step", ["before write", "after write"])
def test_what_a_crashed_upload_left_goes_after_the_grace_period(
    storage: Media, database: Database, memory: MemoryStore, step: str
) -> None:
    memory.at = crash_at(step)
    with pytest.raises(CrashError):
        add(storage)
    memory.at = lambda _step: None
    assert sweep(storage, Names(), DAY).deleted == 0
    assert sweep(storage, Names(), NOW).deleted == 1
    assert (memory.copies, count(database)) == ({}, 0)


@pytest.mark.parametrize("step", ["before delete", "after delete"])
def test_what_a_crashed_sweep_left_is_finished_by_the_next(
    storage: Media, database: Database, memory: MemoryStore, step: str
) -> None:
    add(storage)
    memory.at = crash_at(step)
    with pytest.raises(CrashError):
        sweep(storage, Names(), NOW)
    memory.at = lambda _step: None
    with pytest.raises(MediaGoneError):
        name(storage, CID)
    assert sweep(storage, Names(), DAY).deleted == 1
    assert (memory.copies, count(database)) == ({}, 0)


def test_bytes_without_a_row_are_kept_and_counted_until_the_grace_period_ends(
    storage: Media, memory: MemoryStore
) -> None:
    memory.copies[new_key(CID)] = DATA, datetime.now(UTC)
    report = sweep(storage, Names(), DAY)
    assert (report.deleted, report.strays_kept) == (0, 1)
    report = sweep(storage, Names(), NOW)
    assert (report.deleted, report.strays_kept) == (1, 0)
    assert memory.copies == {}


def test_bytes_that_cannot_be_deleted_are_tried_again_and_hold_up_no_others(
    storage: Media, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        add(storage, bytes([number]))
    stuck = sorted(memory.copies)[1]

    def delete(key: str) -> None:
        if key == stuck:
            raise StoreUnavailableError("it is stuck")
        del memory.copies[key]

    healthy, memory.delete = memory.delete, delete  # type: ignore[method-assign]
    report = sweep(storage, Names(), NOW)
    assert (report.deleted, report.failed) == (2, 1)
    (warning,) = [record for record in caplog.records if record.message == "media_delete_failed"]
    assert warning.key == stuck  # type: ignore[attr-defined]
    assert "it is stuck" in warning.error  # type: ignore[attr-defined]
    memory.delete = healthy  # type: ignore[method-assign]
    assert sweep(storage, Names(), NOW).deleted == 1


def test_the_sweep_deletes_nothing_if_the_references_cannot_be_read(
    storage: Media, memory: MemoryStore
) -> None:
    add(storage)
    with pytest.raises(ConnectionError):
        sweep(storage, Names(Mock(side_effect=ConnectionError)), NOW)
    assert len(memory.copies) == 1
    name(storage, CID)


def in_a_thread(work: Callable[[], None]) -> tuple[threading.Thread, list[BaseException]]:
    raised = list[BaseException]()

    def run() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            raised.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def until_it_waits(database: Database) -> None:
    """Wait until a transaction waits for a row of ours; on SQLite every writer waits."""
    while not database.is_sqlite:
        with database.engine.connect() as connection:
            if connection.execute(text("select count(*) from pg_locks where not granted")).scalar_one():
                return


def test_a_unit_that_names_what_the_sweep_is_giving_up_waits_and_is_refused(
    storage: Media, database: Database
) -> None:
    started = list[tuple[threading.Thread, list[BaseException]]]()

    def meanwhile() -> None:
        started.append(in_a_thread(lambda: name(storage, CID)))
        until_it_waits(database)

    add(storage)
    assert sweep(storage, Names(meanwhile), NOW).deleted == 1
    thread, raised = started[0]
    thread.join()
    assert [type(exc) for exc in raised] == [MediaGoneError]
    add(storage)
    name(storage, CID)


def test_an_upload_of_what_the_sweep_is_giving_up_waits_and_writes_a_new_copy(
    storage: Media, database: Database
) -> None:
    started = list[tuple[threading.Thread, list[BaseException]]]()

    def meanwhile() -> None:
        started.append(in_a_thread(lambda: name(storage, add(storage))))
        until_it_waits(database)

    add(storage)
    assert sweep(storage, Names(meanwhile), NOW).deleted == 1
    thread, raised = started[0]
    thread.join()
    assert raised == []
    assert b"".join(storage.read(CID)) == DATA


def test_a_sweep_that_meets_a_unit_naming_the_media_lets_it_live(storage: Media, database: Database) -> None:
    add(storage)
    reports = list[int]()
    with database.write() as connection:
        storage.pin(connection, [CID])
        thread, raised = in_a_thread(lambda: reports.append(sweep(storage, Names(), NOW).deleted))
        if not database.is_sqlite:
            thread.join()  # it skips the locked row instead of waiting
        name(storage, CID)
    thread.join()
    assert (reports, raised) == ([0], [])
    assert b"".join(storage.read(CID)) == DATA
