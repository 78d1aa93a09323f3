"""`mastertape partition`: large tables of PostgreSQL in parts by bucket."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text

from aggregates.tracks.track import Track
from eventstore.coordination import due_parts
from eventstore.event_log import EventLog
from eventstore.streams.buckets import BUCKETS, bucket_of, divided
from projections.rebuild.rebuild import differences
from service.schema import partitions
from tests.dsl import some_time
from tests.service.schema.people import ENVELOPE, log_of, typed

pytestmark = pytest.mark.postgres
PARTS = 4
PEOPLE = [f"did:plc:person{number}" for number in range(40)]

Divide = Callable[..., Result]


@pytest.fixture
def log(migrated_postgres: str) -> Iterator[EventLog]:
    """Many accounts with a track each; nobody is connected."""
    with log_of(PEOPLE, migrated_postgres) as log:
        yield log


@pytest.fixture
def divide(migrated_postgres: str, tmp_path: Any) -> Divide:
    return partial(typed, migrated_postgres, tmp_path, "partition", "--parts")


def rows(log: EventLog) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    with log.database.read() as connection:
        for table in partitions.TABLES:
            every = connection.execute(text(f"select * from {table}"))  # noqa: S608
            found[table] = sorted(map(tuple, every), key=str)
    log.database.engine.dispose()
    return found


def test_divided_tables_have_the_same_rows_each_in_the_part_of_its_bucket_and_statistics_of_accounts(
    log: EventLog, divide: Divide
) -> None:
    before = rows(log)
    assert (
        divide(str(PARTS), "--yes").stdout == f"divided into {PARTS} parts: {', '.join(partitions.TABLES)}\n"
    )
    assert rows(log) == before
    with log.database.read() as connection:
        for part in range(PARTS):
            found = connection.scalars(text(f"select did from stored_event_{part:04}")).all()  # noqa: S608
            expected = [did for did in PEOPLE if bucket_of(did) * PARTS // BUCKETS == part]
            assert sorted(found) == sorted(expected)
        statistics = connection.scalars(text("select cast(stxrelid as regclass) || '' from pg_statistic_ext"))
        parts = {f"{table}_{part:04}" for table in partitions.TABLES for part in range(PARTS)}
        assert parts <= {*statistics}
    log.database.engine.dispose()


def test_a_process_that_has_just_ended_is_waited_for(
    log: EventLog, divide: Divide, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.stable_position()  # opens a connection
    monkeypatch.setattr(partitions.time, "sleep", lambda _seconds: log.database.engine.dispose())
    assert divide(str(PARTS), "--yes").exit_code == 0


def test_the_service_goes_on_with_divided_tables(log: EventLog, divide: Divide) -> None:
    newest = log.stable_position()
    log.database.engine.dispose()
    divide(str(PARTS), "--yes")

    assert due_parts.parts_of(log.database) == divided(PARTS)
    with log.unit_of_work(PEOPLE[0], ENVELOPE) as unit:
        track = unit.load(Track, Track.create_id(1))
        track.edit({"title": "In its part"}, at=some_time(60))
        unit.save(track)
    assert log.stable_position() == newest + 1
    assert list(differences(log, log.projections)) == []


def test_the_same_number_again_changes_nothing_and_another_is_refused(log: EventLog, divide: Divide) -> None:
    divide(str(PARTS), "--yes")
    before = rows(log)
    assert divide(str(PARTS)).stdout == f"all have {PARTS} parts already\n"
    refused = divide("8", "--yes")
    assert (refused.exit_code, f"stored_event has {PARTS} parts" in refused.stderr) == (1, True)
    assert rows(log) == before


def test_it_asks_first_and_waits_for_nobody_who_uses_the_database(log: EventLog, divide: Divide) -> None:
    unasked = divide(str(PARTS))
    assert (unasked.exit_code, "Nothing was done; say --yes" in unasked.stderr) == (2, True)
    with log.database.read():
        refused = divide(str(PARTS), "--yes")
    assert (refused.exit_code, "1 other connections use the database" in refused.stderr) == (1, True)
    log.database.engine.dispose()
    assert set(partitions.parts_of(log.database).values()) == {0}


def test_one_that_is_ended_goes_on(log: EventLog, divide: Divide, monkeypatch: pytest.MonkeyPatch) -> None:
    before, divided = rows(log), partitions.divide_table

    def ended(connection: Any, table: str, parts: int) -> None:
        divided(connection, table, parts)
        if table == partitions.TABLES[2]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(partitions, "divide_table", ended)
        assert divide(str(PARTS), "--yes").exit_code == 1
    assert rows(log) == before
    assert (
        divide(str(PARTS), "--yes").stdout
        == f"divided into {PARTS} parts: {', '.join(partitions.TABLES[2:])}\n"
    )
    assert rows(log) == before
