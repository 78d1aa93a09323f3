"""A pool that does not ask the server before each transaction whether it is still there."""

import sqlite3
import threading
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import text

from eventstore.sql.database import Database
from tests.servers.databases import connection_to


@pytest.mark.postgres
def test_an_idle_connection_that_the_server_has_closed_is_replaced(postgres: Database) -> None:
    with postgres.read() as connection:
        pid = connection.scalar(text("select pg_backend_pid()"))
    with connection_to(postgres.url) as operator:
        operator.execute("select pg_terminate_backend(%s, 30000)", [pid])
    with postgres.read() as connection:
        assert connection.scalar(text("select pg_backend_pid()")) != pid


@pytest.mark.postgres
def test_a_connection_that_is_in_use_at_the_close_is_closed_when_it_comes_back(postgres: Database) -> None:
    with postgres.read() as connection:
        driver: Any = connection.connection.dbapi_connection
        postgres.close()
        assert connection.scalar(text("select 1")) == 1
    assert driver.closed


def test_the_writer_of_sqlite_that_is_in_use_at_the_close_commits_and_is_closed_then(
    fresh_sqlite: str,
) -> None:
    database, begun, go_on = Database(fresh_sqlite), threading.Event(), threading.Event()
    drivers: list[Any] = []

    def write() -> None:
        with database.write() as connection:
            drivers.append(connection.connection.dbapi_connection)
            connection.execute(text("create table kept (id integer)"))
            begun.set()
            assert go_on.wait(30)

    writing = threading.Thread(target=write)
    writing.start()
    assert begun.wait(30)
    database.close()
    go_on.set()
    writing.join()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        drivers[0].execute("select 1")
    with closing(Database(fresh_sqlite)) as again, again.read() as connection:
        assert connection.execute(text("select * from kept")).all() == []
