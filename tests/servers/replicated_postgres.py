"""A durable PostgreSQL server and its standby, which a test may promote after the primary was killed."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import psycopg

from tests.servers.postgres import PostgresServer


class ReplicatedPostgres:
    def __init__(
        self,
        primary: PostgresServer,
        wait: Callable[[Callable[[], bool]], None],
        make: Callable[[], PostgresServer] = lambda: PostgresServer(durable=True),
    ) -> None:
        self.primary, self.standby = primary, make()
        self._wait = wait
        shutil.rmtree(self.standby.data)
        self.standby.run(
            "pg_basebackup",
            *("-c", "fast", "-R", "-U", "postgres"),
            *("-h", primary.folder, "-D", self.standby.data),
        )
        self.standby.start()
        wait(lambda: asks(primary, "select count(*) from pg_stat_replication") == 1)

    @property
    def url(self) -> str:
        """A URL with both hosts, of which the one that takes writes is connected to."""
        hosts = f"{self.primary.folder},{self.standby.folder}"
        return f"postgresql+psycopg://postgres@/postgres?host={hosts}&target_session_attrs=read-write"

    def make_synchronous(self) -> None:
        asks(self.primary, "alter system set synchronous_standby_names = '*'")
        asks(self.primary, "select pg_reload_conf()")
        synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'"
        self._wait(lambda: asks(self.primary, synchronous) == 1)

    def lose_standby(self) -> None:
        """Cut the standby off; the operator lets commits go on without it."""
        asks(self.primary, "alter system reset synchronous_standby_names")
        asks(self.primary, "select pg_reload_conf()")
        asks(self.standby, "alter system set primary_conninfo = ''")
        asks(self.standby, "select pg_reload_conf()")
        self._wait(lambda: asks(self.primary, "select count(*) from pg_stat_replication") == 0)

    def kill_primary(self) -> None:
        backends = asks(self.primary, "select array_agg(pid) from pg_stat_activity")
        self.primary.kill()
        for pid in backends:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def promote(self) -> None:
        asks(self.standby, "select pg_promote()")
        self._wait(lambda: asks(self.standby, "select pg_is_in_recovery()") is False)

    def remove(self) -> None:
        self.standby.remove()


def asks(server: PostgresServer, statement: str) -> Any:
    conninfo = f"host={server.folder} user=postgres dbname=postgres"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone()[0] if cursor.description else None
