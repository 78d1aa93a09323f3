import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from identity.sessions.session_store import SessionKind, SessionRows, pds_session
from identity.sessions.tokens import Tokens
from tests.identity.conftest import KEY
from tests.identity.fake_pds import DID, FakePds
from tests.identity.oauth_rig import Rig, ask
from tests.identity.refresh_worker import ROUNDS

PROCESSES = 3


@contextmanager
def served(fake):
    server = ThreadingHTTPServer(("127.0.0.1", 0), fake.http_handler())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def keep(database, seal, hooks, did, origin, *, tokens):
    rows = SessionRows(database, seal, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in)
    with database.write() as connection:
        rows.put(connection, did=did, kind=SessionKind.APP_PASSWORD, pds_url=origin, tokens=tokens)


def race(database, origin, did):
    """Start all processes, let them go at the same instant, and give back what they say at the end."""
    command = [sys.executable, "-m", "tests.identity.refresh_worker", database.url, origin, did, KEY]
    workers = [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
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


def test_three_processes_with_ten_refreshes_each_refresh_no_more_than_needed(database, seal, hooks):
    fake, a_second_one = FakePds(), threading.Event()
    under_way = threading.Semaphore(1)

    def overlap():
        """Every refresh takes long enough for another process to begin one too, if nothing held it back."""
        if not under_way.acquire(blocking=False):
            a_second_one.set()
        a_second_one.wait(0.3)
        under_way.release()

    fake.before_refresh = overlap
    with served(fake) as origin:
        tokens = Tokens(SecretStr(fake.access), SecretStr(fake.refresh), "", None)
        keep(database, seal, hooks, DID, origin, tokens=tokens)
        assert race(database, origin, DID) == ["all good\n"] * PROCESSES
    assert not a_second_one.is_set()
    assert fake.refreshes == ROUNDS
    assert generation(database) == ROUNDS + 1


@pytest.mark.pds
def test_three_processes_keep_a_real_oauth_login_alive(*, database, seal, hooks, pds, pds_account):
    """A replayed refresh token would end it: 3 processes ask 10 times each, at the same instant, over and over."""
    rig = Rig(database, seal, hooks, pds)
    rig.sign_in(pds_account)
    assert race(database, pds.url, pds_account.did) == ["all good\n"] * PROCESSES
    assert generation(database) == ROUNDS + 1
    assert ask(rig, pds_account.did) == 200
