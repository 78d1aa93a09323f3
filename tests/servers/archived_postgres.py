"""A PostgreSQL server with an archived log, which can be restored to any point: base backup, archive, recovery."""

import shutil
from pathlib import Path

from tests.servers.postgres import PostgresServer
from tests.servers.replicated_postgres import asks


class ArchivedPostgres:
    """The procedure of docs/operations.md, on a server of one test."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._archive, self._base = server.folder / "archive", server.folder / "base"
        self._make(self._archive)
        archive = f"test ! -f {self._archive}/%f && cp %p {self._archive}/%f"
        asks(server, f"alter system set archive_command = '{archive}'")
        asks(server, "alter system set archive_mode = on")
        server.stop()
        server.start()

    def take_base_backup(self) -> None:
        self.server.run(
            "pg_basebackup", "-c", "fast", "-h", self.server.folder, "-U", "postgres", "-D", self._base
        )

    def mark(self, name: str) -> None:
        asks(self.server, f"select pg_create_restore_point('{name}')")

    def restore(self, name: str) -> None:
        asks(self.server, "select pg_switch_wal()")
        self.server.stop()
        shutil.rmtree(self.server.data)
        self._base.rename(self.server.data)
        recovery = (
            f"restore_command = 'cp {self._archive}/%f %p'",
            f"recovery_target_name = '{name}'",
            "recovery_target_action = 'promote'",
        )
        with (self.server.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("\n".join(recovery) + "\n")
        self._make(self.server.data / "recovery.signal", is_folder=False)
        self.server.start()
        while asks(self.server, "select pg_is_in_recovery()"):
            pass

    def _make(self, path: Path, *, is_folder: bool = True) -> None:
        path.mkdir() if is_folder else path.touch()
        if self.server.user is not None:
            shutil.chown(path, self.server.user)
