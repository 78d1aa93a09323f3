"""Several processes that refresh the same session at the same instant."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import select

from identity.sessions.session_store import SessionKind, SessionRows, pds_session
from tests.identity.conftest import KEY

PROCESSES = 3


def keep(database, cipher, hooks, did, origin, *, tokens):
    rows = SessionRows(database, cipher, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in)
    with database.write() as connection:
        rows.put(connection, did=did, kind=SessionKind.APP_PASSWORD, pds_url=origin, tokens=tokens)


def race(database, origin, did):
    """Start all processes, let them refresh at the same instant, and return their output."""
    command = [sys.executable, "-m", "tests.identity.sessions.refresh_worker", database.url, origin, did, KEY]
    workers = [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return [worker.communicate(timeout=60)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def generation(database):
    with database.read() as connection:
        return connection.execute(select(pds_session.c.generation)).scalar_one()
