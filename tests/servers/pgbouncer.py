"""PgBouncer in transaction mode before a database, with a role of its own."""

import shutil
import signal
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from devpds.ports import free_port
from devpds.process import Process
from tests.servers.postgres import unprivileged_user

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
ROLE_SETTINGS = (
    "synchronous_commit = on",
    "lock_timeout = '10s'",
    "idle_in_transaction_session_timeout = '15s'",
)
"""What docs/operations.md has the operator set on the role."""


@contextmanager
def pooled(
    url: str, *role_settings: str, settings: str = "ignore_startup_parameters = options"
) -> Generator[str]:
    """The URL of the database through PgBouncer, for a new role with these settings."""
    assert PROGRAM, "needs PgBouncer; `./dev test` leaves this out where there is none"
    direct, role = make_url(url), f"pooled_{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="mastertape-pgbouncer-"))
    port, user = free_port(), unprivileged_user()
    (folder / "users").write_text(f'"{role}" "secret"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={direct.query.get('host', direct.host)} port={direct.port or 5432}\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = {port}\nunix_socket_dir = {folder}\npool_mode = transaction\n"
        f"auth_type = trust\nauth_file = {folder}/users\n{settings}\n"
    )
    for path in (folder, *folder.iterdir()):
        if user is not None:
            shutil.chown(path, user)
    through = direct.set(
        username=role, password=None, host=None, port=None, query={"host": str(folder), "port": str(port)}
    )
    _says(url, f"create role {role} login superuser password 'secret'")
    process = Process(
        [str(PROGRAM), folder / "ini"], log=folder / "log", cwd=folder, user=user, stop_signal=signal.SIGQUIT
    )
    try:
        _says(url, *(f"alter role {role} set {each}" for each in role_settings))
        process.start((folder / f".s.PGSQL.{port}").exists)
        yield through.render_as_string().replace("%2F", "/")
    finally:
        process.stop()
        _says(url, f"drop role {role}")
        shutil.rmtree(folder)


def _says(url: str, *statements: str) -> None:
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as server:
        for statement in statements:
            server.execute(statement.encode())
