"""Times in the log never run backwards within a stream."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.conftest import create_tables
from tests.eventstore.counter import ALICE, ENVELOPE, Counter, counter_id
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = ON_SQLITE  # on a clock of the test
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    time = NOON
    asked = 0

    def __call__(self) -> datetime:
        self.asked += 1
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(database_url: str, clock: Clock) -> Iterator[EventLog]:
    database = Database(database_url, clock=clock)
    create_tables(database)
    yield EventLog(database)
    database.close()


def load(unit: UnitOfWork) -> Counter:
    return unit.load(Counter, counter_id("a"))


@pytest.mark.parametrize("loaded_before", [False, True])
def test_a_clock_that_goes_back_does_not_take_the_stream_with_it(
    log: EventLog, clock: Clock, loaded_before: bool
) -> None:
    log.transact(ALICE, ENVELOPE, lambda unit: unit.save(Counter(name="a")))
    for minutes in (5, -60, 10):
        clock.time = NOON + timedelta(minutes=minutes)
        counter = log.transact(ALICE, ENVELOPE, load) if loaded_before else None
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            counter = counter or load(unit)
            counter.add(1)
            unit.save(counter)
    minutes_after_noon = [
        (recorded.recorded_at - NOON) / timedelta(minutes=1)
        for recorded in log.read(after=0, until=10, limit=10)
    ]
    assert minutes_after_noon == [0, 5, 5, 10]


def test_a_unit_has_one_time(log: EventLog, clock: Clock) -> None:
    def work(unit: UnitOfWork) -> tuple[datetime, datetime]:
        first = unit.now
        clock.time += timedelta(seconds=1)
        unit.save(Counter(name="a"), Counter(name="b"))
        return first, unit.now

    first, second = log.transact(ALICE, ENVELOPE, work)
    assert first == second
    assert clock.asked == 1
    assert {recorded.recorded_at for recorded in log.read(after=0, until=10, limit=10)} == {first}


@ON_BOTH
def test_the_databases_time_is_aware_and_in_utc(database: Database) -> None:
    with database.read() as connection:
        now = database.now(connection)
    assert now.utcoffset() == timedelta(0)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
