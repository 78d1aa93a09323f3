"""Three processes refresh one session, each many times at once."""

import threading
from multiprocessing import get_context

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from identity.sessions.session_store import SessionKind, SessionRows, Tokens, pds_session
from tests.identity.conftest import KEY
from tests.identity.oauth.oauth_rig import Rig, ask
from tests.identity.sessions.fake_pds import DID, FakePds, served
from tests.identity.sessions.refresh_worker import ROUNDS, work
from tests.servers.databases import ON_POSTGRES

PROCESSES = 3
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.identity.sessions.refresh_worker"])  # loaded once, and not by each


def keep(database, cipher, hooks, did, origin, *, tokens):
    rows = SessionRows(database, cipher, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in)
    with database.write() as connection:
        rows.put(connection, did=did, kind=SessionKind.APP_PASSWORD, pds_url=origin, tokens=tokens)


def race(database, origin, did):
    """Let all processes refresh at the same instant, and wait until they have."""
    args = (CONTEXT.Barrier(PROCESSES), database.url, origin, did, KEY)
    workers = [CONTEXT.Process(target=work, args=args) for _ in range(PROCESSES)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(240)
        assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    finally:
        for worker in workers:
            worker.kill()


def generation(database):
    with database.read() as connection:
        return connection.execute(select(pds_session.c.generation)).scalar_one()


def test_three_processes_with_ten_refreshes_each_refresh_no_more_than_needed(database, cipher, hooks):
    fake, a_second_one = FakePds(), threading.Event()
    under_way = threading.Semaphore(1)

    def overlap():
        """Every refresh takes long enough for another process to begin one too, unless the lease prevents it."""
        if not under_way.acquire(blocking=False):
            a_second_one.set()
        a_second_one.wait(0.3)
        under_way.release()

    fake.before_refresh = overlap
    with served(fake) as origin:
        tokens = Tokens(SecretStr(fake.access), SecretStr(fake.refresh), "", None)
        keep(database, cipher, hooks, DID, origin, tokens=tokens)
        race(database, origin, DID)
    assert not a_second_one.is_set()
    assert fake.refreshes == ROUNDS
    assert generation(database) == ROUNDS + 1


@pytest.mark.pds
@ON_POSTGRES
def test_three_processes_keep_a_real_oauth_login_alive(*, database, cipher, hooks, pds, pds_account):
    """A replayed refresh token would end the login; three processes refresh ten times each at the same instant."""
    rig = Rig(database, cipher, hooks, pds)
    rig.sign_in(pds_account)
    race(database, pds.url, pds_account.did)
    assert generation(database) == ROUNDS + 1
    assert ask(rig, pds_account.did) == 200
