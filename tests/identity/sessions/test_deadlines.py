"""A request reserves time for the PDS: if its login is not ready in time, nothing is sent and the slow part is named."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from aggregates.errors import SessionUnavailableError
from identity.sessions.pds_sessions import LOGIN_TIME_SHARE
from tests.identity.sessions.fake_pds import DID, FakePds, error
from tests.identity.sessions.session_rig import GET_SESSION, HeldRefresh, row, set_row
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
SHORT = 0.2
LONG = 40


async def refused(sessions, timeout=SHORT):
    with pytest.raises(SessionUnavailableError, match="not ready in time") as unavailable:
        await sessions.request(DID, "POST", GET_SESSION, timeout=timeout)
    return unavailable.value


async def refused_once(begun, sessions):
    """The error of a request whose time for the login is over when this has begun, however long that took."""
    request = asyncio.create_task(refused(sessions, LONG))
    await begun.wait()
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + LONG * LOGIN_TIME_SHARE
    return await request


def test_a_request_waits_only_so_long_for_another_process_to_refresh(sessions, fake, database, clock):
    another = {"refresh_until": clock.now + timedelta(hours=1), "refresh_owner": "another process"}
    set_row(database, access_expires_at=clock.now, **another)

    async def story():
        error_raised = await refused(sessions)
        set_row(database, generation=2, refresh_until=None, access_expires_at=None)
        await sessions.finish()
        return error_raised

    assert asyncio.run(story()).cause is None
    assert fake.requests == []


def test_a_slow_database_is_not_blamed_on_the_pds(sessions, fake):
    go_on = threading.Event()

    async def story():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        slow = loop.run_in_executor(None, go_on.wait)
        error_raised = await refused(sessions)
        go_on.set()
        await slow
        return error_raised

    assert asyncio.run(story()).cause is None
    assert fake.requests == []


def test_a_refresh_that_the_pds_does_not_answer_is_blamed_on_the_pds(sessions_at, database, clock):
    fake = FakePds()

    async def story():
        answer = HeldRefresh(fake)
        sessions = sessions_at(answer, fake)
        set_row(database, access_expires_at=clock.now)
        error_raised = await refused_once(answer.arrived, sessions)
        answer.go_on.set()
        await sessions.finish()
        return error_raised

    assert isinstance(asyncio.run(story()).cause, httpx.ReadTimeout)
    assert row(database).generation == 2


def test_the_refresh_of_a_refused_token_has_the_same_time_limit(sessions_at, database, clock):
    """A request that the PDS refused for its token has changed nothing there."""

    async def story():
        answered = asyncio.Event()

        async def answer(_request):
            set_row(database, refresh_until=clock.now + timedelta(hours=1), refresh_owner="another process")
            answered.set()
            return error("ExpiredToken")

        sessions = sessions_at(answer)
        error_raised = await refused_once(answered, sessions)
        set_row(database, generation=2, refresh_until=None)
        await sessions.finish()
        return error_raised

    assert asyncio.run(story()).cause is None
