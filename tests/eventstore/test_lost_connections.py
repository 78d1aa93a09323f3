"""A pool that does not ask the server before each transaction whether it is still there."""

from typing import Any

import psycopg
from sqlalchemy import make_url, text

from eventstore.database import Database


def test_an_idle_connection_that_the_server_has_closed_is_replaced(postgres: Database) -> None:
    with postgres.read() as connection:
        pid = connection.scalar(text("select pg_backend_pid()"))
    url = make_url(postgres.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute("select pg_terminate_backend(%s, 30000)", [pid])
    with postgres.read() as connection:
        assert connection.scalar(text("select pg_backend_pid()")) != pid


def test_a_connection_that_is_in_use_at_the_close_is_closed_when_it_comes_back(postgres: Database) -> None:
    with postgres.read() as connection:
        driver: Any = connection.connection.dbapi_connection
        postgres.close()
        assert connection.scalar(text("select 1")) == 1
    assert driver.closed
