"""A rebuild goes on beside writers and readers, and no reader sees half of it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Connection, event

from eventstore.event_log import EventLog
from eventstore.streams.append import lock_log
from projections.rebuild.difference import differences_of, subjects_that_differ
from projections.rebuild.rebuild import differences, rebuild
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE, BOB, a_track, some_artwork, some_time
from tests.projections.rebuild.damage import TABLES, record_a_story, vandalise
from tests.projections.track_log import ENVELOPE, Rows, change, live_rows, upload

TRACKS = 40


class Writer(Thread):
    def __init__(self, log: EventLog, did: str, first_id: int) -> None:
        super().__init__()
        self.log, self.did, self.ids = log, did, range(first_id, first_id + TRACKS)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for number in self.ids:
                self.write_one(number)
        except Exception as error:  # noqa: BLE001
            self.error = error

    def write_one(self, number: int) -> None:
        upload(self.log, number, did=self.did, tags=(f"t{number}",))
        change(
            self.log,
            number,
            lambda t: t.edit({"title": "new", "tags": ("b",)}, at=some_time(5)),
            lambda t: t.set_artwork(some_artwork(number), at=some_time(6)),
            lambda t: t.set_artwork(None, at=some_time(7)),
            did=self.did,
        )
        if number % 3 == 0:
            change(self.log, number, lambda t: t.delete(at=some_time(8)), did=self.did)


def test_a_rebuild_equals_live_while_writers_go_on(log: EventLog) -> None:
    record_a_story(log)
    vandalise(log)
    writers = [Writer(log, did, first) for did, first in ((ALICE, 100_000), (BOB, 200_000))]
    for writer in writers:
        writer.start()
    runs = 0
    while any(writer.is_alive() for writer in writers):
        rebuild(log, READ_MODELS, page=50)
        assert differences(log, READ_MODELS, page=50) == []
        runs += 1
    for writer in writers:
        writer.join()
    assert [writer.error for writer in writers] == [None, None]
    assert runs > 0
    assert differences(log, READ_MODELS) == []


def test_readers_see_the_rows_before_or_after_and_never_a_mix(log: EventLog) -> None:
    new = record_a_story(log)
    vandalise(log)
    old = live_rows(log)
    seen: list[Rows] = []
    stop, started = Event(), Event()

    def look() -> None:
        while not stop.is_set():
            rows = live_rows(log)
            if rows not in seen:
                seen.append(rows)
            started.set()

    reader = Thread(target=look)
    reader.start()
    assert started.wait(10)
    rebuild(log, READ_MODELS, page=2)
    stop.set()
    reader.join()
    assert seen[0] == old
    assert all(rows in (old, new) for rows in seen)
    assert live_rows(log) == new


def test_a_rebuild_waits_for_no_reader_and_no_reader_for_it(log: EventLog) -> None:
    record_a_story(log)
    vandalise(log)
    old = live_rows(log)
    with log.database.read() as connection:
        connection.exec_driver_sql("select 1 from tracks")
        rebuilding = Thread(target=lambda: rebuild(log, READ_MODELS))
        rebuilding.start()
        rebuilding.join(30)
        assert not rebuilding.is_alive()
        assert live_rows(log) == old  # joins the snapshot of before
    assert live_rows(log) != old


@pytest.mark.parametrize("compare", [rebuild, differences])
def test_no_writer_waits_while_rows_are_compared(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, compare: Any
) -> None:
    record_a_story(log)
    written: list[int] = []

    def then(real: Any) -> Any:
        def write(*arguments: Any) -> Any:
            writer = Thread(target=lambda: written.append(upload(log, 500 + len(written)).track_id))
            writer.start()
            writer.join(10)
            return real(*arguments)

        return write

    monkeypatch.setattr("projections.rebuild.rebuild.differences_of", then(differences_of))
    monkeypatch.setattr("projections.rebuild.rebuild.subjects_that_differ", then(subjects_that_differ))
    compare(log, READ_MODELS)
    assert written == list(range(500, 500 + len(written)))
    assert len(written) >= len(TABLES)
    monkeypatch.undo()
    assert differences(log, READ_MODELS) == []


def test_work_under_the_lock_depends_on_the_events_since_and_not_on_all(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_many(log, range(1, 251))
    work_under_the_lock(log, monkeypatch)  # plans and statistics come to rest
    few = work_under_the_lock(log, monkeypatch)
    for start in range(251, 2251, 500):
        upload_many(log, range(start, start + 500))
    assert work_under_the_lock(log, monkeypatch) < 1.5 * few


def upload_many(log: EventLog, numbers: range) -> None:
    with log.unit_of_work(BOB, ENVELOPE) as unit:
        unit.save(*(a_track(number, did=BOB, tags=("a",)) for number in numbers))


def work_under_the_lock(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rebuild while five tracks change; return the rows that PostgreSQL read under the lock, or SQLite's steps by the hundred."""
    work = 0
    changed: list[int] = []

    def change_some(*arguments: Any) -> Any:
        if not changed:
            changed.extend(range(1, 6))
            with ThreadPoolExecutor() as elsewhere:
                for number in changed:
                    elsewhere.submit(retitle, log, number).result()
        return subjects_that_differ(*arguments)

    def step() -> None:
        nonlocal work
        work += 1

    def count_rows(connection: Connection) -> None:
        nonlocal work
        work = rows_read(connection) - work

    def then_count(connection: Connection) -> None:
        nonlocal work
        lock_log(connection)
        driver: Any = connection.connection.driver_connection
        if log.database.is_sqlite:
            driver.set_progress_handler(step, 100)
        else:
            work = rows_read(connection)
            event.listen(connection, "commit", count_rows)

    with log.database.write() as connection:
        connection.exec_driver_sql("analyze")
    with monkeypatch.context() as patched:
        patched.setattr("projections.rebuild.rebuild.subjects_that_differ", change_some)
        patched.setattr("projections.rebuild.rebuild.lock_log", then_count)
        rebuild(log, READ_MODELS)
    assert work > 0
    return work


def rows_read(connection: Connection) -> int:
    """Return how many rows of live tables this session has read and not reported yet."""
    read = "sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))"
    of_public = f"select {read} from pg_stat_xact_user_tables where schemaname = 'public'"  # noqa: S608
    return int(connection.exec_driver_sql(of_public).scalar() or 0)


def retitle(log: EventLog, number: int) -> None:
    change(log, number, lambda t: t.edit({"title": t.title + "!"}, at=some_time(5)), did=BOB)
