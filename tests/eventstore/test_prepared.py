"""Statements that the driver gets as they are: the values they keep, the errors they raise, and how they travel."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from eventstore.event_log import EventLog
from eventstore.prepared import Prepared, pipelined
from eventstore.schema import projection_state, stored_event
from tests.eventstore.counter import append
from tests.statements import recorded_statements

NAMES = ("name", "fingerprint")
ADD = Prepared(lambda _: insert(projection_state), NAMES)
ALL = Prepared(lambda _: select(projection_state).order_by(projection_state.c.name))
EVENTS = Prepared(lambda _: select(stored_event))


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


def test_an_append_takes_a_few_statements(log: EventLog) -> None:
    append(log, "a", 1)
    with recorded_statements(log.database.engine) as statements:
        append(log, "a", 1)
    kinds = [statement.split(maxsplit=1)[0].lower() for statement in statements]
    lock = [] if log.database.is_sqlite else ["with"]
    assert kinds == [*lock, "select", "select", "insert", "update"]
