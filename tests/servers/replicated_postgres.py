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
    def __init__(self, primary: PostgresServer, wait: Callable[[Callable[[], bool]], None]) -> None:
        self.primary, self.standby = primary, PostgresServer(durable=True)
        self._wait = wait
        shutil.rmtree(self.standby.data)
        self.standby.run(
            "pg_basebackup",
            *("-c", "fast", "-R", "-U", "postgres"),
            *("-h", primary.folder, "-D", self.standby.data),
        )
        self.standby.start()
        wait(lambda: self._asks(primary, "select count(*) from pg_stat_replication") == 1)

    @property
    def url(self) -> str:
        """A URL with both hosts, of which the one that takes writes is connected to."""
        hosts = f"{self.primary.folder},{self.standby.folder}"
        return f"postgresql+psycopg://postgres@/postgres?host={hosts}&target_session_attrs=read-write"

    def make_synchronous(self) -> None:
        self._asks(self.primary, "alter system set synchronous_standby_names = '*'")
        self._asks(self.primary, "select pg_reload_conf()")
        synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'"
        self._wait(lambda: self._asks(self.primary, synchronous) == 1)

    def lose_standby(self) -> None:
        """Cut the standby off; the operator lets commits go on without it."""
        self._asks(self.primary, "alter system reset synchronous_standby_names")
        self._asks(self.primary, "select pg_reload_conf()")
        self._asks(self.standby, "alter system set primary_conninfo = ''")
        self._asks(self.standby, "select pg_reload_conf()")
        self._wait(lambda: self._asks(self.primary, "select count(*) from pg_stat_replication") == 0)

    def kill_primary(self) -> None:
        backends = self._asks(self.primary, "select array_agg(pid) from pg_stat_activity")
        self.primary.kill()
        for pid in backends:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def promote(self) -> None:
        self._asks(self.standby, "select pg_promote()")
        self._wait(lambda: self._asks(self.standby, "select pg_is_in_recovery()") is False)

    def remove(self) -> None:
        self.standby.remove()

    def _asks(self, server: PostgresServer, statement: str) -> Any:
        conninfo = f"host={server.folder} user=postgres dbname=postgres"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchone()[0] if cursor.description else None
