"""One SQLite file: several processes append to it, and a position is never used twice."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from tests.eventstore.conftest import create_tables
from tests.eventstore.counter import ALICE, ENVELOPE, Counter, counter_in
from tests.eventstore.processes import writers
from tests.eventstore.threads import DEADLINE

pytestmark = pytest.mark.usefixtures("file")


@pytest.fixture
def file(fresh_sqlite: str) -> Iterator[Path]:
    """A file with six events, which no process has open."""
    database = Database(fresh_sqlite)
    create_tables(database)
    database.close()
    append(fresh_sqlite, "a", "b", "c", "d", "e", "f")
    return Path(str(database.engine.url.database))


def append(url: str, *names: str) -> None:
    database = Database(url)
    for name in names:
        EventLog(database).transact(ALICE, ENVELOPE, lambda unit, name=name: unit.save(Counter(name=name)))
    database.close()


def positions(url: str) -> list[int]:
    database = Database(url)
    found = [recorded.position for recorded in EventLog(database).read(after=0, until=2**62, limit=1000)]
    database.close()
    return found


def execute(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_two_processes_append_to_one_file(fresh_sqlite: str) -> None:
    with writers(*[("append", fresh_sqlite, name, "40") for name in ("x", "x", "y")]) as children:
        for child in children:
            child.says("ready")
        for child in children:
            child.go_on()
        for child in children:
            child.says("done")
    assert positions(fresh_sqlite) == list(range(1, 6 + 120 + 2 + 1))
    with contextlib.closing(Database(fresh_sqlite)) as database:
        assert [counter_in(EventLog(database), name).total for name in ("x", "y")] == [80, 40]


def test_a_file_can_be_opened_first_while_another_process_writes_to_it(fresh_sqlite: str, file: Path) -> None:
    """The switch to the write-ahead log needs the file alone, and SQLite does not wait for that."""
    execute(file, "pragma journal_mode=delete")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        timer = threading.Timer(0.3, other.execute, ["rollback"])
        timer.start()
        append(fresh_sqlite, "g")
        timer.join(DEADLINE)
    assert positions(fresh_sqlite) == [1, 2, 3, 4, 5, 6, 7]


def test_a_restored_dump_has_the_same_positions(file: Path, tmp_path: Path) -> None:
    execute(file, "delete from stored_event where position in (2, 3, 6)")
    with contextlib.closing(sqlite3.connect(file)) as old:
        dump = "\n".join(old.iterdump())
    with contextlib.closing(sqlite3.connect(tmp_path / "restored.db")) as new:
        new.executescript(dump)
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert positions(restored) == [1, 4, 5]
    append(restored, "g")
    assert positions(restored) == [1, 4, 5, 7]
