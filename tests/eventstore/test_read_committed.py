"""A single statement needs no transaction; the pooled connection that it ran on is in order for the next one."""

import pytest
from sqlalchemy import func, insert, select

from eventstore.sql.database import Database
from eventstore.sql.schema import projection_state

ROW = {"name": "n", "fingerprint": "f"}


def rows(database: Database) -> int:
    with database.read_committed() as connection:
        return connection.scalars(select(func.count()).select_from(projection_state)).one()


def write_and_fail(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(projection_state), ROW)
        raise ZeroDivisionError


def test_a_write_after_it_is_a_transaction_again(database: Database) -> None:
    assert rows(database) == 0
    with pytest.raises(ZeroDivisionError):
        write_and_fail(database)
    assert rows(database) == 0


def test_a_read_after_it_has_one_snapshot_again(database: Database) -> None:
    assert rows(database) == 0
    with database.read() as connection:
        count = select(func.count()).select_from(projection_state)
        before = connection.scalars(count).one()
        other = Database(database.url)
        with other.write() as elsewhere:
            elsewhere.execute(insert(projection_state), ROW)
        other.close()
        assert connection.scalars(count).one() == before
    assert rows(database) == 1


def test_inside_a_transaction_it_sees_what_that_has_written(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(projection_state), ROW)
        assert rows(database) == 1
