import io
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import insert, select, text

from eventstore.sql.database import Database
from storage import sweep as sweeping
from storage.cid import cid_of, new_key
from storage.errors import MediaGoneError, NotReservedError, StoreUnavailableError
from storage.media import RESERVATION_TTL, Media, MediaState, Reserved, end_grace_period, media
from storage.sweep import STRAY, UNFINISHED, UNNAMED, sweep
from tests.eventstore.jobs.rig import Time
from tests.servers.databases import ON_SQLITE
from tests.storage.memory_store import MemoryStore
from tests.storage.references import Names, name, name_reserved, names, release
from tests.storage.stepped_threads import CrashError
from tests.waits import until

DATA = b"sound"
CID = cid_of(DATA)
NOW = timedelta(0)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


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


@contextmanager
def crashing_at(memory: MemoryStore, wanted: str) -> Iterator[None]:
    def at(step: str) -> None:
        if step == wanted:
            raise CrashError

    memory.at = at
    with pytest.raises(CrashError):
        yield
    memory.at = lambda _step: None


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


@ON_SQLITE
def test_every_deletion_is_logged_with_its_reason(
    storage: Media, memory: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    add(storage)
    with crashing_at(memory, "after write"):
        add(storage, b"unfinished")
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


@ON_SQLITE
@pytest.mark.parametrize("step", ["before write", "after write"])
def test_what_a_crashed_upload_left_goes_after_the_grace_period(
    storage: Media, database: Database, memory: MemoryStore, step: str
) -> None:
    with crashing_at(memory, step):
        add(storage)
    assert sweep(storage, Names(), DAY).deleted == 0
    assert sweep(storage, Names(), NOW).deleted == 1
    assert (memory.copies, count(database)) == ({}, 0)


@ON_SQLITE
@pytest.mark.parametrize("step", ["before delete", "after delete"])
def test_what_a_crashed_sweep_left_is_finished_by_the_next(
    storage: Media, database: Database, memory: MemoryStore, step: str
) -> None:
    add(storage)
    with crashing_at(memory, step):
        sweep(storage, Names(), NOW)
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


@ON_SQLITE
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


def until_it_waits(database: Database) -> None:
    """Wait until a transaction waits for a row of ours; on SQLite every writer waits."""

    def waits() -> bool:
        with database.engine.connect() as connection:
            return bool(connection.scalar(text("select count(*) from pg_locks where not granted")))

    until(lambda: database.is_sqlite or waits())


def sweep_beside(storage: Media, work: Callable[[], None]) -> Future[None]:
    """Sweep; the work begins while the bytes are given up, and waits for that."""
    begun = list[Future[None]]()

    def meanwhile() -> None:
        begun.append(threads.submit(work))
        until_it_waits(storage.database)

    add(storage)
    with ThreadPoolExecutor(1) as threads:
        assert sweep(storage, Names(meanwhile), NOW).deleted == 1
    return begun[0]


def test_a_unit_that_names_what_the_sweep_is_giving_up_waits_and_is_refused(storage: Media) -> None:
    with pytest.raises(MediaGoneError):
        sweep_beside(storage, lambda: name(storage, CID)).result()
    add(storage)
    name(storage, CID)


def test_an_upload_of_what_the_sweep_is_giving_up_waits_and_writes_a_new_copy(storage: Media) -> None:
    sweep_beside(storage, lambda: name(storage, add(storage))).result()
    assert b"".join(storage.read(CID)) == DATA


def test_bytes_that_are_reserved_outlive_the_end_of_their_grace(timed: Database, clock: Time) -> None:
    """Another account's deletion ends it, and the command that has reserved them is about to name them."""
    storage = Media(timed, MemoryStore(clock))
    storage.reserve([add(storage)])
    with timed.write() as connection:
        end_grace_period(connection, [CID], clock.now)
    clock.now += RESERVATION_TTL
    assert sweep(storage, Names(), 30 * DAY).deleted == 0
    clock.now += RESERVATION_TTL + SECOND
    assert sweep(storage, Names(), 30 * DAY).deleted == 1


@ON_SQLITE
def test_a_reservation_ends_before_the_sweep_takes_the_bytes(timed: Database, clock: Time) -> None:
    storage = Media(timed, MemoryStore(clock))
    reserved = Reserved(storage)
    reserved.reserve([add(storage)])
    clock.now += RESERVATION_TTL
    reserved.require([CID], clock.now)
    clock.now += SECOND
    with pytest.raises(NotReservedError):
        reserved.require([CID], clock.now)
    assert reserved.run(lambda: reserved.require([CID], clock.now)) is None


def test_what_something_names_by_the_second_look_is_live_again(
    storage: Media, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(storage)
    look_again = sweeping._look_again  # noqa: SLF001

    def name_late(*args: Any) -> None:
        with storage.database.write() as connection:
            connection.execute(insert(names).values(cid=CID))
        look_again(*args)

    monkeypatch.setattr(sweeping, "_look_again", name_late)
    assert sweep(storage, Names(), NOW).deleted == 0
    assert b"".join(storage.read(CID)) == DATA
    storage.reserve([CID])


def test_of_marked_copies_with_the_same_bytes_one_is_live_again(storage: Media, database: Database) -> None:
    for _ in range(2):
        add(storage)
        with database.write() as connection:
            connection.execute(media.update().values(state=MediaState.DELETING))
    with database.write() as connection:
        connection.execute(insert(names).values(cid=CID))
    assert sweep(storage, Names(), NOW).deleted == 1
    assert b"".join(storage.read(CID)) == DATA


POINTS = ("before the mark", "before the second look", "before delete", "after delete")


@ON_SQLITE  # one thread: no lock of the sweep is met
@pytest.mark.parametrize("killed_at", [*POINTS, "never"])
@pytest.mark.parametrize(
    ("reserved_at", "named_at"), [*combinations_with_replacement(["at first", *POINTS, "at last"], 2)]
)
def test_no_byte_is_deleted_that_a_command_names_while_a_sweep_runs_or_is_killed(
    timed: Database,
    clock: Time,
    monkeypatch: pytest.MonkeyPatch,
    *,
    reserved_at: str,
    named_at: str,
    killed_at: str,
) -> None:
    memory = MemoryStore(clock)
    storage = Media(timed, memory)
    add(storage)
    clock.now += 2 * DAY
    command = Naming(storage, reserved_at, named_at)

    def at(point: str) -> None:
        command.at(point)
        if point == killed_at:
            raise CrashError

    memory.at = at
    for function, point in (("_mark_old", POINTS[0]), ("_look_again", POINTS[1])):
        monkeypatch.setattr(sweeping, function, stopping_at(memory, point, getattr(sweeping, function)))
    command.at("at first")
    with suppress(CrashError):
        sweep(storage, Names(), DAY)
    for point in (*POINTS, "at last"):
        command.at(point)
    memory.at = lambda _point: None
    clock.now += SECOND
    sweep(storage, Names(), DAY)
    if command.is_refused:
        add(storage)
        name(storage, CID)
    assert b"".join(storage.read(CID)) == DATA


def stopping_at(memory: MemoryStore, point: str, work: Callable[..., None]) -> Callable[..., None]:
    def stop(*args: Any, **kwargs: Any) -> None:
        memory.at(point)
        work(*args, **kwargs)

    return stop


class Naming:
    """A command that reserves the bytes at one point, and names them in its unit at this point or a later one."""

    def __init__(self, storage: Media, reserved_at: str, named_at: str) -> None:
        self.storage, self.reserved = storage, Reserved(storage)
        self.steps = [(reserved_at, self.reserve), (named_at, self.name)]
        self.is_refused = False

    def at(self, point: str) -> None:
        while self.steps and self.steps[0][0] == point:
            self.steps.pop(0)[1]()

    def reserve(self) -> None:
        try:
            self.reserved.reserve([CID])
        except MediaGoneError:
            self.is_refused, self.steps = True, []

    def name(self) -> None:
        database = self.storage.database
        with database.write() as connection:
            name_reserved(connection, self.reserved, CID, database.now(connection))
