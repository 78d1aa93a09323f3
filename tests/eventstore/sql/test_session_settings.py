"""No setting of a server, a role or a pooler takes a promise away without a word."""

import asyncio
from contextlib import closing

import pytest
from sqlalchemy import Connection, make_url, text

from eventstore.coordination.commit_signals import Announcer, Listener
from eventstore.errors import PooledConnectionError, UnsafeConnectionError
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from tests.eventstore.counter import ALICE, ENVELOPE, Counter
from tests.servers.databases import connection_to
from tests.servers.pgbouncer import ROLE_SETTINGS, pooled

PATIENCE_SECONDS = 10
COMMITS = 12
"""More than psycopg executes before it prepares a statement."""


def setting(connection: Connection, name: str) -> str:
    return str(connection.scalar(text(f"show {name}")))


@pytest.mark.postgres
def test_defaults_of_the_server_change_neither_isolation_nor_timeouts_nor_durability(
    fresh_postgres: str,
) -> None:
    with connection_to(fresh_postgres) as server:
        for default in (
            "default_transaction_isolation = 'repeatable read'",
            "lock_timeout = 0",
            "synchronous_commit = off",
        ):
            server.execute(f"alter database {make_url(fresh_postgres).database} set {default}".encode())
    with closing(Database(fresh_postgres)) as database, database.write() as connection:
        assert setting(connection, "transaction_isolation") == "read committed"
        assert setting(connection, "lock_timeout") == "10s"
        assert setting(connection, "synchronous_commit") == "on"


@pytest.mark.pgbouncer
def test_a_pooler_that_drops_settings_is_refused_with_their_names(fresh_postgres: str) -> None:
    with pooled(fresh_postgres, "synchronous_commit = off") as url, closing(Database(url)) as database:
        with pytest.raises(UnsafeConnectionError) as refused, database.write():
            pass
        assert "synchronous_commit is off instead of on" in str(refused.value)
        assert "lock_timeout is 0 instead of 10s" in str(refused.value)
        assert "idle_in_transaction_session_timeout is 0 instead of 15s" in str(refused.value)


@pytest.mark.pgbouncer
def test_one_setting_that_is_dropped_is_enough(fresh_postgres: str) -> None:
    with pooled(fresh_postgres, *ROLE_SETTINGS[:-1]) as url, closing(Database(url)) as database:
        with pytest.raises(UnsafeConnectionError) as refused, database.read():
            pass
        assert "(idle_in_transaction_session_timeout is 0 instead of 15s)" in str(refused.value)


@pytest.mark.pgbouncer
def test_processes_share_few_sessions_of_a_pooler_and_announce_their_commits_to_a_direct_listener(
    migrated_postgres: str,
) -> None:
    with pooled(
        migrated_postgres,
        *ROLE_SETTINGS,
        settings="ignore_startup_parameters = options\ndefault_pool_size = 2\nmax_prepared_statements = 0",
    ) as url:
        pooled_databases = [Database(url), Database(url)]
        for number in range(COMMITS):
            log = EventLog(pooled_databases[number % 2])
            with log.unit_of_work(ALICE, ENVELOPE) as unit:
                unit.save(Counter(name=f"counter {number}"))
        with closing(Database(migrated_postgres)) as direct:
            asyncio.run(hears(direct, pooled_databases[0]))
            with direct.read() as connection:
                assert connection.scalar(text("select count(*) from stored_event")) == COMMITS
        for database in pooled_databases:
            with database.write() as connection:
                assert (
                    setting(connection, "synchronous_commit") == "on"
                )  # the announcer's belongs to its statement
            with pytest.raises(PooledConnectionError):
                database.require_direct()
            database.close()


async def hears(direct: Database, through: Database) -> None:
    """Listen on one database, announce on the other, and wait until it was heard."""
    signalled, announcer = asyncio.Event(), Announcer(through)
    running = asyncio.create_task(Listener(direct).run(signalled.set))
    await asyncio.wait_for(signalled.wait(), PATIENCE_SECONDS)  # what came before it listened
    signalled.clear()
    announcer.start()
    announcer.announce()
    await asyncio.wait_for(signalled.wait(), PATIENCE_SECONDS)
    await asyncio.to_thread(announcer.stop, PATIENCE_SECONDS)
    running.cancel()
    await asyncio.wait({running})
