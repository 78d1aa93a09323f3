"""Whatever was done to a log: it comes out of an export as it went in, and a rebuild heals, beside writers and cut off anywhere."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import metadata, stored_event
from eventstore.unit_of_work import account_of
from outbox.mirror.targets import MirrorTargets
from projections.rebuild.difference import subjects_that_differ
from projections.rebuild.rebuild import differences, rebuild
from replay.dump import export, import_dump
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE
from tests.projections.random_commands import UNITS, command, tell
from tests.projections.track_log import ENVELOPE, rows_of

PROJECTIONS = (*READ_MODELS, MirrorTargets())
LIVE = [table.live for projection in PROJECTIONS for table in projection.tables]
PARENTS = {key.column.table for table in metadata.sorted_tables for key in table.foreign_keys}
ALONE = [(each,) for each in READ_MODELS if not PARENTS & {table.live for table in each.tables}]
"""Those whose rows can go alone."""
DIRECTIONS = [
    pytest.param(("migrated_sqlite", "elsewhere_postgres"), marks=pytest.mark.postgres),
    pytest.param(("migrated_postgres", "elsewhere_sqlite"), marks=pytest.mark.postgres),
]
pytestmark = pytest.mark.timeout(3600 if os.environ.get("TEST_DEEP") else 300)
some_examples = settings(
    max_examples=200 if os.environ.get("TEST_DEEP") else 6,
)


def log_on(url: str) -> EventLog:
    return EventLog(Database(url), projections=PROJECTIONS)


@pytest.fixture(params=DIRECTIONS, ids=lambda pair: " to ".join(name.split("_")[1] for name in pair))
def logs(request: pytest.FixtureRequest) -> Iterator[tuple[EventLog, EventLog]]:
    made = tuple(log_on(request.getfixturevalue(name)) for name in request.param)
    yield made
    for log in made:
        log.database.close()


@pytest.fixture
def log(migrated_url: str) -> Iterator[EventLog]:
    made = log_on(migrated_url)
    yield made
    made.database.close()


def emptied(log: EventLog) -> None:
    with log.database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        if log.database.is_sqlite:
            connection.execute(text("delete from sqlite_sequence"))
    log.has_entered = False  # as in a new process


@some_examples
@given(units=UNITS)
def test_an_import_of_an_export_is_the_log_with_all_that_was_made_from_it(
    logs: tuple[EventLog, EventLog], tmp_path: Path, units: Any
) -> None:
    one, other = logs
    emptied(one)
    emptied(other)
    tell(one, units)
    export(one.database, tmp_path / "dump", schema="1", lines=lambda _: None)
    import_dump(other, tmp_path / "dump", schema="1", lines=lambda _: None, progress=lambda *_: None)
    kept = [stored_event, *LIVE]
    assert rows_of(other, kept) == rows_of(one, kept)
    export(other.database, tmp_path / "again", schema="1", lines=lambda _: None)
    assert (tmp_path / "again").read_bytes().splitlines()[1:-1] == (
        tmp_path / "dump"
    ).read_bytes().splitlines()[1:-1]


class CutOffError(Exception):
    pass


@some_examples
@given(
    units=UNITS,
    page=st.integers(1, 7),
    at=st.integers(1, 6),
    chosen=st.sampled_from([PROJECTIONS, *ALONE]),
)
def test_a_rebuild_that_is_cut_off_anywhere_changes_nothing_and_the_next_one_heals(
    log: EventLog, units: Any, page: int, at: int, chosen: Any
) -> None:
    emptied(log)
    tell(log, units)
    whole = rows_of(log, LIVE)
    damaged = [table.live for projection in chosen for table in projection.tables]
    with log.database.write() as connection:
        for table in reversed(damaged):
            connection.execute(delete(table))
    steps = count(1)

    def cut_off(_done: int, _of: int) -> None:
        if next(steps) == at:
            raise CutOffError

    lost = rows_of(log, LIVE)
    try:
        rebuild(log, chosen, page=page, progress=cut_off)
    except CutOffError:
        assert rows_of(log, LIVE) == lost
        rebuild(log, chosen, page=page)
    assert rows_of(log, LIVE) == whole


@some_examples
@given(units=UNITS, later=UNITS, leaves=st.booleans(), page=st.integers(1, 7))
def test_a_rebuild_repairs_what_is_appended_while_it_compares_whatever_rows_that_made(
    log: EventLog, units: Any, later: Any, leaves: bool, page: int
) -> None:
    emptied(log)
    ids = tell(log, units)
    damages: Iterator[Callable[[], None]] = iter(
        [
            lambda: tell_more(EventLog(log.database), ids, later, leaves=leaves),
            lambda: tell_more(EventLog(log.database), ids, later, leaves=False),
        ]
    )
    compare = subjects_that_differ

    def after_more(*arguments: Any) -> Any:
        found = compare(*arguments)
        with ThreadPoolExecutor() as elsewhere:
            elsewhere.submit(next(damages, lambda: None)).result()
        return found

    with patch("projections.rebuild.rebuild.subjects_that_differ", after_more):
        rebuild(log, PROJECTIONS, page=page)
    assert differences(log, PROJECTIONS) == []


def tell_more(log: EventLog, ids: list[int], units: Any, *, leaves: bool) -> None:
    for index, steps in units:
        command(log, ids[index], steps)
    if leaves:
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            account = account_of(unit)
            account.request_leave(at=unit.now)
            account.leave({}, at=unit.now)
            unit.save(account)
