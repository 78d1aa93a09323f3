"""Statements that the driver gets as they are: the values they keep, the errors they raise, and how they travel."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, literal_column, select, text
from sqlalchemy.exc import DataError, IntegrityError

from eventstore.errors import UnpreparedQueryError
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.prepared import Prepared, pipelined
from eventstore.sql.schema import projection_state, stored_event
from tests.eventstore.counter import append

NAMES = ("name", "fingerprint")
ADD = Prepared(lambda _: insert(projection_state), NAMES)
ALL = Prepared(lambda _: select(projection_state).order_by(projection_state.c.name))
DIVIDE = Prepared(lambda _: select(literal_column("1 / 0").label("one")))
EVENTS = Prepared(lambda _: select(stored_event))


@pytest.mark.postgres
def test_nothing_follows_the_sync_of_a_pipeline(postgres: Database, tmp_path: Path) -> None:
    """A Flush behind it would stop PostgreSQL's idle_in_transaction_session_timeout, which ends a frozen writer."""
    with postgres.write() as connection, (tmp_path / "trace").open("w") as trace:
        wire = connection.connection.driver_connection.pgconn
        wire.trace(trace.fileno())
        for _ in range(20):
            with pipelined(connection):
                ALL.start(connection, {})
        wire.untrace()
    lines = [line.split() for line in (tmp_path / "trace").read_text().splitlines()]
    sent = [line[4] for line in lines if line[2:3] == ["F"]]
    assert sent.count("Sync") >= 20
    assert "Flush" not in sent


@pytest.mark.postgres
def test_a_query_of_sqlalchemys_own_is_refused_in_a_pipeline_since_it_would_find_nothing(
    postgres: Database,
) -> None:
    with postgres.write() as connection:
        with pytest.raises(UnpreparedQueryError), pipelined(connection):
            connection.execute(select(func.count()))
        assert connection.execute(select(func.count())).scalar_one() == 1


def refuse(database: Database) -> None:
    with database.write() as connection:
        ALL.start(connection, {})
        raise ZeroDivisionError


@pytest.mark.postgres
def test_a_session_keeps_what_it_has_prepared_when_a_transaction_is_refused(postgres: Database) -> None:
    prepared = text("select statement from pg_prepared_statements")
    for _ in range(10):
        with postgres.write() as connection:
            ALL.start(connection, {})
            before = connection.execute(prepared).scalars().all()
    with pytest.raises(ZeroDivisionError):
        refuse(postgres)
    with postgres.write() as connection:
        assert len(before) == 2
        assert connection.execute(prepared).scalars().all() == before


def divide_and_then_read(database: Database) -> None:
    with database.write() as connection, pipelined(connection):
        DIVIDE.start(connection, {})
        ALL.start(connection, {})


@pytest.mark.postgres
def test_a_statement_that_an_error_kept_from_being_prepared_is_prepared_later(postgres: Database) -> None:
    for _ in range(10):
        with postgres.write() as connection, pipelined(connection):
            ALL.start(connection, {})
        with pytest.raises(DataError):
            divide_and_then_read(postgres)


def row(name: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, name)


def test_rows_come_back_with_the_values_of_sqlalchemy(log: EventLog) -> None:
    append(log, "a", 1)
    with log.database.read() as connection:
        assert EVENTS.start(connection, {}).all() == connection.execute(select(stored_event)).all()
        assert isinstance(EVENTS.start(connection, {}).all()[0].recorded_at, datetime)
        assert EVENTS.start(connection, {}).all()[0].recorded_at.tzinfo is UTC


def test_statements_of_a_pipeline_run_in_their_order(log: EventLog) -> None:
    with log.database.write() as connection, pipelined(connection):
        before = ALL.start(connection, {})
        ADD.many(connection, [row("x"), row("y")])
        after = ALL.start(connection, {})
    assert [each.name for each in before.all()] == []
    assert [each.name for each in after.all()] == ["x", "y"]


def test_an_error_in_a_pipeline_is_sqlalchemys_and_keeps_nothing(log: EventLog) -> None:
    with pytest.raises(IntegrityError), log.database.write() as connection, pipelined(connection):
        ADD.many(connection, [row("x"), row("x"), row("y")])
    with log.database.read() as connection:
        assert ALL.start(connection, {}).all() == []
