"""A commit that fails differs from a conflict, and half a transaction is never committed."""

import contextlib

import pytest
from sqlalchemy import Column, Connection, ForeignKey, MetaData, Table, Text, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from eventstore.change import Envelope
from eventstore.errors import BrokenUnitError, CommitFailedError, is_busy_or_away
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import ALICE, ENVELOPE, Counter
from tests.servers.citus import ON_CITUS, away, worker_of

metadata = MetaData()
parents = Table("parent", metadata, Column("name", Text, primary_key=True))
parent = ForeignKey("parent.name", deferrable=True, initially="DEFERRED")
children = Table("child", metadata, Column("name", Text, parent, primary_key=True))


@pytest.fixture
def with_deferred_constraints(database: Database) -> None:
    metadata.create_all(database.engine)


def count(log: EventLog) -> int:
    return len(log.read(after=0, until=2**62, limit=100))


def save_and_fail_at_commit(unit: UnitOfWork) -> None:
    unit.save(Counter(name="a"))
    unit.connection.execute(insert(children).values(name="nobody's"))


@pytest.mark.usefixtures("with_deferred_constraints")
def test_a_write_that_fails_at_the_commit_is_no_conflict(log: EventLog) -> None:
    calls: list[str] = []

    def work(unit: UnitOfWork) -> None:
        unit.after_commit(lambda: calls.append("committed"))
        save_and_fail_at_commit(unit)

    with pytest.raises(CommitFailedError) as caught:
        log.transact(ALICE, ENVELOPE, work)
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert (count(log), calls) == (0, [])


@pytest.mark.postgres
def test_a_swallowed_database_error_is_not_reported_as_a_success(postgres: Database) -> None:
    """PostgreSQL has ended that transaction, and answers its COMMIT with a silent ROLLBACK."""
    log = EventLog(postgres)

    def swallow(unit: UnitOfWork) -> None:
        unit.save(Counter(name="a"))
        with contextlib.suppress(DBAPIError):
            unit.connection.execute(text("select 1 / 0"))

    with pytest.raises(BrokenUnitError):
        log.transact(ALICE, ENVELOPE, swallow)
    assert count(log) == 0


def test_an_sqlite_transaction_that_ended_early_is_not_reported_as_a_success(fresh_sqlite: str) -> None:
    database = Database(fresh_sqlite)

    def end_early() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("ROLLBACK")  # as SQLite does itself on a full disk

    with pytest.raises(BrokenUnitError):
        end_early()
    database.close()


def test_a_constraint_that_is_not_the_streams_version_is_no_conflict(log: EventLog) -> None:
    without_actor = Envelope(actor=None, via="test", request_id="r-1")  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        log.transact(ALICE, without_actor, lambda unit: unit.save(Counter(name="a")))


@ON_CITUS
def test_a_commit_that_lost_its_worker_is_an_outage_after_which_nobody_knows_what_is_kept(
    migrated_citus: str,
) -> None:
    def lose_worker(_: Connection) -> None:
        with away(worker_of(migrated_citus, ALICE)):
            pass

    def work(unit: UnitOfWork) -> None:
        unit.save(Counter(name="a"))
        unit.before_commit(lose_worker)

    with contextlib.closing(Database(migrated_citus)) as database:
        with pytest.raises(CommitFailedError) as caught:
            EventLog(database).transact(ALICE, ENVELOPE, work)
        assert is_busy_or_away(caught.value)
