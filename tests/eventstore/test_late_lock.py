"""A unit that decides before it holds the lock writes only what it would have decided under it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from eventstore.errors import (
    AggregateNotFoundError,
    CommitFailedError,
    LogBusyError,
    OutdatedProjectionError,
    VersionConflictError,
)
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import projection_state
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import (
    ALICE,
    ENVELOPE,
    PERMIT,
    Counter,
    Refused,
    Totals,
    append,
    counter_id,
    counter_in,
)
from tests.servers.databases import ON_POSTGRES
from tests.statements import recorded_statements, traced_round_trips


@pytest.fixture
def other(log: EventLog) -> EventLog:
    """Another process's log, which knows counter `a` as it is now."""
    other = EventLog(log.database, projections=log.projections)
    append(log, "a", 1)
    append(other, "a", 2)
    append(log, "a", 3)
    append(other, "a", 4)
    return other


def amounts(log: EventLog) -> list[int]:
    return counter_in(log).amounts


def counting(tries: list[Any], work: Callable[[UnitOfWork, Counter], None]) -> Callable[[UnitOfWork], None]:
    def counted(unit: UnitOfWork) -> None:
        counter = unit.load(Counter, counter_id("a"))
        tries.append(list(counter.amounts))
        work(unit, counter)
        unit.save(counter)

    return counted


def test_a_decision_on_a_state_that_has_passed_is_made_again_on_the_newest(
    log: EventLog, other: EventLog
) -> None:
    tries: list[list[int]] = []
    log.transact(ALICE, ENVELOPE, counting(tries, lambda _, counter: counter.add(counter.total)))
    assert tries == [[1, 2, 3], [1, 2, 3, 4]]
    assert amounts(log) == [1, 2, 3, 4, 10]
    log.transact(ALICE, ENVELOPE, counting(tries, lambda _, counter: counter.add(counter.total)))
    assert tries[2:] == [[1, 2, 3, 4, 10]]
    assert other.transact(ALICE, ENVELOPE, lambda unit: unit.load(Counter, counter_id("a"))).total == 40


def test_a_refusal_is_not_given_on_a_state_that_has_passed(log: EventLog, other: EventLog) -> None:
    def refuse_below_ten(_: UnitOfWork, counter: Counter) -> None:
        if counter.total < 10:
            raise Refused
        counter.add(1)

    tries: list[list[int]] = []
    log.transact(ALICE, ENVELOPE, counting(tries, refuse_below_ten))
    assert (len(tries), amounts(other)) == (2, [1, 2, 3, 4, 1])


def test_a_unit_that_changes_nothing_decides_so_on_the_newest_state(log: EventLog, other: EventLog) -> None:
    append(log, "b")
    append(other, "a", 5)
    seen = log.transact(ALICE, ENVELOPE, lambda unit: unit.load(Counter, counter_id("a")).amounts)
    assert seen == [1, 2, 3, 4, 5]


def test_what_is_not_as_expected_is_decided_again(log: EventLog, other: EventLog) -> None:
    append(log, "a")
    asked: list[bool] = []

    def only_with_permit(unit: UnitOfWork, counter: Counter) -> None:
        asked.append(unit.finds(PERMIT.query(name="permit"), expected=True))
        if not asked[-1]:
            raise Refused
        counter.add(1)

    with pytest.raises(Refused):
        log.transact(ALICE, ENVELOPE, counting([], only_with_permit))
    assert (asked, amounts(other)) == ([True, False], [1, 2, 3, 4])
    with log.database.write() as connection:
        connection.execute(insert(projection_state).values(name="permit", fingerprint="-"))
    log.transact(ALICE, ENVELOPE, counting([], only_with_permit))
    assert (asked[2:], amounts(other)) == ([True], [1, 2, 3, 4, 1])


@pytest.mark.usefixtures("other")
def test_read_models_of_another_version_are_not_written_by_a_unit_that_knew_them(log: EventLog) -> None:
    append(log, "a")
    with log.database.write() as connection:
        connection.execute(update(projection_state).values(fingerprint="2"))
    with pytest.raises(OutdatedProjectionError):
        append(log, "a", 5)
    assert amounts(log) == [1, 2, 3, 4]


def test_an_event_that_no_longer_follows_is_refused_even_where_the_state_is_not_loaded(
    log: EventLog, totals: Totals
) -> None:
    append(log, "a", 1)
    twice = Counter(name="a")
    with pytest.raises(VersionConflictError):
        log.transact(ALICE, ENVELOPE, lambda unit: unit.save(twice))
    with log.database.read() as connection:
        assert connection.scalars(select(totals.table.c.total)).all() == [1]


def test_what_reads_inside_a_unit_reads_under_its_lock(log: EventLog, other: EventLog) -> None:
    tries: list[list[int]] = []

    def read(unit: UnitOfWork, counter: Counter) -> None:
        with log.database.read() as connection:
            assert connection is unit.connection
        counter.add(5)

    log.transact(ALICE, ENVELOPE, counting(tries, read))
    assert (len(tries), amounts(other)) == (2, [1, 2, 3, 4, 5])


def test_positions_are_known_once_the_unit_is_sent(log: EventLog) -> None:
    append(log, "a", 1)

    def save(unit: UnitOfWork) -> Any:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(2)
        return unit.save(counter)

    [sent_with_the_commit] = log.transact(ALICE, ENVELOPE, save)

    def save_and_read(unit: UnitOfWork) -> int:
        [change] = changes = save(unit)
        assert not isinstance(change.position, int)
        assert unit.connection.in_transaction()
        counter = unit.load(Counter, counter_id("a"))
        counter.add(3)
        return int(unit.save(counter)[0].position) - int(changes[0].position)

    assert sent_with_the_commit.position == 3
    assert log.transact(ALICE, ENVELOPE, save_and_read) == 1
    assert amounts(log) == [1, 2, 2, 3]


def test_what_a_unit_saved_and_did_not_send_yet_it_loads(log: EventLog) -> None:
    append(log, "a", 1)

    def work(unit: UnitOfWork) -> int:
        for _ in range(3):
            counter = unit.load(Counter, counter_id("a"))
            counter.add(counter.total)
            unit.save(counter)
        return unit.load(Counter, counter_id("a")).total

    assert log.transact(ALICE, ENVELOPE, work) == 8
    assert amounts(log) == [1, 1, 2, 4]


@ON_POSTGRES
def test_a_unit_that_loads_and_saves_takes_one_round_trip(log: EventLog) -> None:
    append(log, "a", 1)
    with traced_round_trips(log.database.engine) as round_trips:
        append(log, "a", 2)
        assert round_trips() == 1
        log.transact(ALICE, ENVELOPE, lambda unit: unit.load(Counter, counter_id("a")))
        assert round_trips() == 1
    append(EventLog(log.database, projections=log.projections), "a", 3)
    with traced_round_trips(log.database.engine) as round_trips:
        append(log, "a", 4)
        assert 1 < round_trips() <= 9
    assert amounts(log) == [1, 2, 3, 4]


def test_all_that_was_assumed_is_proved_by_one_statement(log: EventLog) -> None:
    append(log, "a", 1)
    append(log, "b", 1)

    def work(unit: UnitOfWork) -> None:
        unit.load(Counter, counter_id("a"))
        counter = unit.load(Counter, counter_id("b"))
        unit.finds(PERMIT.query(name="permit"), expected=False)
        unit.finds(PERMIT.query(name="totals"), expected=True)
        counter.add(1)
        unit.save(counter)

    with recorded_statements(log.database.engine) as statements:
        log.transact(ALICE, ENVELOPE, work)
    assert sum(statement.lower().startswith("select") for statement in statements) == 1


@ON_POSTGRES
@pytest.mark.parametrize("off", [timedelta(hours=1), -timedelta(hours=1), timedelta(seconds=0.2)])
def test_a_time_that_the_server_does_not_confirm_is_asked_for(log: EventLog, off: timedelta) -> None:
    append(log, "a", 1)
    log.database._heard = datetime.now(UTC) + off, monotonic()  # noqa: SLF001 - as after the server's clock was set
    with log.database.read() as connection:
        began: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
    append(log, "a", 2)
    with log.database.read() as connection:
        ended: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
        recorded = log.stream(connection, ALICE, counter_id("a"))[-1]
    assert began <= recorded.recorded_at <= ended


@ON_POSTGRES
def test_a_connection_that_is_lost_with_the_commit_leaves_the_outcome_open(log: EventLog) -> None:
    append(log, "a", 1)

    def lose(unit: UnitOfWork) -> None:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(2)
        unit.save(counter)
        unit.with_save(lambda connection, _: cut(log.database, connection))

    with pytest.raises(CommitFailedError):
        log.transact(ALICE, ENVELOPE, lose)
    assert amounts(log) == [1]
    append(log, "a", 3)
    assert amounts(log) == [1, 3]


def cut(database: Database, connection: Any) -> None:
    pid = connection.connection.driver_connection.info.backend_pid
    with database.engine.connect() as operator:
        operator.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_a_stream_that_is_gone_after_a_restore_is_not_continued(log: EventLog, other: EventLog) -> None:
    append(log, "a")
    with log.database.write() as connection:
        connection.execute(delete(projection_state))
        connection.execute(text("delete from stored_event"))
    for expected in (LogBusyError, AggregateNotFoundError):
        with pytest.raises(expected):
            other.transact(ALICE, ENVELOPE, counting([], lambda _, counter: counter.add(1)))
