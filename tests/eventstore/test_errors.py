"""A database that is busy or away differs from one that will never do what it is asked for."""

from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eventstore.errors import BrokenUnitError, CommitFailedError, LogBusyError, is_busy_or_away
from eventstore.sql.database import Database
from eventstore.sql.prepared import execute
from tests.servers.databases import connection_to
from tests.waits import until


def commit_failed(cause: Exception) -> CommitFailedError:
    failed = CommitFailedError()
    failed.__cause__ = cause
    return failed


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (LogBusyError(), True),
        (PoolTimeoutError("QueuePool limit"), True),
        (OperationalError("select 1", {}, Exception("connection refused")), True),
        (commit_failed(OperationalError("COMMIT", {}, Exception("connection lost"))), True),
        (InternalError("select 1", {}, psycopg.errors.IdleInTransactionSessionTimeout("ended")), True),
        (OperationalError("insert", {}, psycopg.errors.ProgramLimitExceeded("index row size")), False),
        (commit_failed(IntegrityError("COMMIT", {}, Exception("a deferred constraint"))), False),
        (IntegrityError("insert", {}, Exception("a duplicate")), False),
        (BrokenUnitError(), False),
        (TimeoutError(), False),
        (None, False),
    ],
    ids=repr,
)
def test_the_error_says_whether_the_database_is_busy_or_away(
    error: BaseException | None, passes: bool
) -> None:
    assert is_busy_or_away(error) is passes


@pytest.mark.postgres
@pytest.mark.parametrize("ended_at", ["a statement", "the commit"])
def test_a_server_that_ended_a_connection_which_stood_still_is_away(
    fresh_postgres: str, ended_at: str
) -> None:
    database = Database(fresh_postgres, postgres={"idle_in_transaction_session_timeout": "50ms"})

    def stand_still() -> None:
        with database.write() as connection:
            pid = connection.scalar(text("select pg_backend_pid()"))
            with connection_to(fresh_postgres) as other:
                alive = "select 1 from pg_stat_activity where pid = %s"
                until(lambda: other.execute(alive, [pid]).fetchone() is None)
            if ended_at == "a statement":
                connection.execute(text("select 1"))

    with pytest.raises((DBAPIError, CommitFailedError)) as caught:
        stand_still()
    assert is_busy_or_away(caught.value)
    database.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("failure on connection marked as essential: 10.0.0.2:5432", True),
        ("could not commit transaction for shard 102008 on at least one active node", True),
        ("cache lookup failed for relation 102008", False),
    ],
)
def test_an_internal_error_is_an_outage_where_a_cluster_has_lost_a_node(
    fresh_postgres: str, said: str, passes: bool
) -> None:
    fail = f"do $$ begin raise exception '{said}' using errcode = 'XX000'; end $$"
    with closing(Database(fresh_postgres)) as database:
        for run in (execute, lambda connection, sql, _: connection.execute(text(sql))):
            with pytest.raises(DBAPIError) as caught, database.write() as connection:
                run(connection, fail, ())
            assert is_busy_or_away(caught.value) is passes
