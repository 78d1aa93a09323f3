"""Commands of one account are serial, other accounts do not wait, and there is no deadlock."""

import threading
from functools import partial

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert, select, text, update
from sqlalchemy.exc import OperationalError

from eventstore.errors import EventStoreError, LogBusyError
from eventstore.event_log import MAX_ATTEMPTS, EventLog
from eventstore.sql.database import Database
from eventstore.streams import append
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.conftest import create_tables
from tests.eventstore.counter import ALICE, BOB, ENVELOPE, Counter, Totals, counter_id, counter_in
from tests.eventstore.threads import DEADLINE, lock_waits, together
from tests.waits import until

lanes = Table(
    "lane",
    MetaData(),
    Column("did", Text, primary_key=True),
    Column("turns", Integer, nullable=False),
)


def turn_lane(connection: Connection, did: str) -> None:
    """Lock the lane's row, then write it."""
    row = select(lanes.c.turns).where(lanes.c.did == did).with_for_update()
    turns = connection.scalars(row).one()
    connection.execute(update(lanes).where(lanes.c.did == did).values(turns=turns + 1))


def lane_turns(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {row.did: row.turns for row in connection.execute(select(lanes))}


def open_counter(log: EventLog, did: str, name: str) -> None:
    with log.unit_of_work(did, ENVELOPE) as unit:
        unit.save(Counter(name=name))


def test_sixteen_racers_on_one_stream_decide_one_after_the_other(log: EventLog) -> None:
    open_counter(log, ALICE, "a")

    def double_and_one(unit: UnitOfWork) -> None:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(counter.total + 1)
        unit.save(counter)

    def race() -> None:
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            double_and_one(unit)

    together(*[race] * 16)
    assert counter_in(log).total == 2**16 - 1


@pytest.mark.postgres
def test_a_deadlock_outside_the_lock_order_is_decided_again_as_a_whole(postgres: Database) -> None:
    lanes.metadata.create_all(postgres.engine)
    log, tries = EventLog(postgres), []
    with postgres.write() as connection:
        connection.execute(insert(lanes), [{"did": did, "turns": 0} for did in (ALICE, BOB)])
    both_hold_one = threading.Barrier(2)

    def work(unit: UnitOfWork, mine: str, other: str) -> None:
        tries.append(mine)
        counter = Counter(name=f"{mine}-{len(tries)}")
        unit.save(counter)
        turn_lane(unit.connection, mine)
        if tries.count(mine) == 1:
            both_hold_one.wait(DEADLINE)
        turn_lane(unit.connection, other)

    together(
        partial(log.transact, ALICE, ENVELOPE, partial(work, mine=ALICE, other=BOB)),
        partial(log.transact, BOB, ENVELOPE, partial(work, mine=BOB, other=ALICE)),
    )
    assert len(tries) >= 3  # on a busy machine PostgreSQL may find a second deadlock in the repetition
    assert lane_turns(postgres) == {ALICE: 2, BOB: 2}
    assert len(log.read(after=0, until=2**62, limit=10)) == 2


def test_no_other_error_is_tried_again(database: Database) -> None:
    log, tries = EventLog(database), list[type[Exception]]()

    def fail(unit: UnitOfWork, error: Exception) -> None:
        tries.append(type(error))
        unit.save(Counter(name="a"))
        raise error

    for error in (ValueError("no"), OperationalError("", {}, Exception("gone")), LogBusyError()):
        with pytest.raises(type(error)):
            log.transact(ALICE, ENVELOPE, partial(fail, error=error))
    assert tries == [ValueError, OperationalError, LogBusyError]
    assert log.stable_position() == 0


@pytest.mark.postgres
def test_a_deadlock_that_repeats_comes_out_in_the_end(postgres: Database) -> None:
    log, tries = EventLog(postgres), []

    def fail(unit: UnitOfWork) -> None:
        tries.append(unit)
        unit.connection.execute(text("do $$ begin raise exception 'again' using errcode = '40P01'; end $$"))

    with pytest.raises(OperationalError):
        log.transact(ALICE, ENVELOPE, fail)
    assert len(tries) == MAX_ATTEMPTS


@pytest.mark.postgres
def test_a_queue_of_one_account_holds_the_logs_lock_once(postgres: Database) -> None:
    log, first_has_it = EventLog(postgres), threading.Event()
    shared = """
        select count(*) from pg_locks join pg_database on pg_database.oid = database
        where locktype = 'advisory' and mode = 'ShareLock' and granted and datname = current_database()
    """

    def first() -> None:
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            first_has_it.set()
            until(lambda: lock_waits(postgres) == 3)
            assert unit.connection.execute(text(shared)).scalar_one() == 1

    def queued(name: str) -> None:
        assert first_has_it.wait(DEADLINE)
        open_counter(log, ALICE, name)

    together(first, *[partial(queued, name) for name in "abc"])


def test_a_unit_without_an_account_has_the_log_alone_and_appends_nothing(log: EventLog) -> None:
    open_counter(log, ALICE, "a")

    def save(unit: UnitOfWork) -> None:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(1)
        unit.save(counter)

    with pytest.raises(ValueError, match="account"):
        log.transact(None, ENVELOPE, save)
    assert counter_in(log).total == 0


def test_a_unit_without_an_account_does_not_ask_for_current_projections(
    log: EventLog, totals: Totals
) -> None:
    open_counter(log, ALICE, "a")
    totals.fingerprint = "2"
    with log.unit_of_work(None, ENVELOPE) as unit:
        assert [recorded.version for recorded in log.stream(unit.connection, ALICE, counter_id("a"))] == [1]


@pytest.mark.postgres
def test_the_holder_of_the_logs_lock_waits_for_row_locks_as_long_as_others(postgres: Database) -> None:
    with EventLog(postgres).unit_of_work(None, ENVELOPE) as unit:
        assert unit.connection.execute(text("show lock_timeout")).scalar_one() == "10s"


@pytest.mark.postgres
def test_a_log_that_stays_locked_is_busy_and_nothing_is_written(
    fresh_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(fresh_postgres, postgres={"lock_timeout": "100ms"})
    create_tables(database)
    monkeypatch.setattr(append, "LOG_LOCK_TIMEOUT_SECONDS", 0.3)
    log = EventLog(database)
    locked, tried = threading.Event(), threading.Event()

    def hold() -> None:
        with log.unit_of_work(ALICE, ENVELOPE) as unit:
            unit.save(Counter(name="a"))
            locked.set()
            assert tried.wait(DEADLINE)

    def attempt() -> None:
        assert locked.wait(DEADLINE)
        busy: list[EventStoreError] = []
        for ask in (partial(open_counter, log, ALICE, "b"), log.stable_position):
            with pytest.raises(LogBusyError) as caught:
                ask()
            busy.append(caught.value)
        open_counter(log, BOB, "c")
        tried.set()

    together(hold, attempt)
    assert len(log.read(after=0, until=2**62, limit=10)) == 2
    database.close()


def test_an_sqlite_file_that_stays_locked_is_busy(fresh_sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.sql.database.SQLITE_BUSY_SECONDS", 0.1)
    mine, other = Database(fresh_sqlite), Database(fresh_sqlite)
    create_tables(mine)
    with mine.write():
        with pytest.raises(LogBusyError):
            open_counter(EventLog(other), ALICE, "a")
        with pytest.raises(LogBusyError):
            together(partial(open_counter, EventLog(mine), ALICE, "a"))
    mine.close()
    other.close()
