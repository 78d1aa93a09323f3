"""A request does not wait for its login until there is no time left for the PDS: then nothing is sent, and who was slow is told."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from identity.errors import SessionUnavailableError
from tests.identity.sessions.fake_pds import DID, FakePds, error
from tests.identity.sessions.session_rig import GET_SESSION, keep, made, row, set_row

SHORT = 0.2
LONG = 30


async def refused(sessions):
    """What a request that has little time meets."""
    async with asyncio.timeout(LONG):
        with pytest.raises(SessionUnavailableError, match="not ready in time") as unavailable:
            await sessions.request(DID, "POST", GET_SESSION, timeout=SHORT)
    return unavailable.value


def test_a_login_that_another_process_renews_is_waited_for_only_so_long(sessions, fake, database, clock):
    another = {"refresh_until": clock.now + timedelta(hours=1), "refresh_owner": "another process"}
    set_row(database, access_expires_at=clock.now, **another)

    async def story():
        told = await refused(sessions)
        set_row(database, generation=2, refresh_until=None, access_expires_at=None)
        await sessions.finish()
        return told

    assert asyncio.run(story()).cause is None
    assert fake.requests == []


def test_a_login_that_is_not_read_in_time_blames_nobody(sessions, fake):
    go_on = threading.Event()

    async def story():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        slow = loop.run_in_executor(None, go_on.wait)
        told = await refused(sessions)
        go_on.set()
        await slow
        return told

    assert asyncio.run(story()).cause is None
    assert fake.requests == []


def test_a_pds_that_does_not_answer_a_renewal_is_named_as_the_slow_one(database, seal, hooks, clock):
    fake = FakePds()

    async def story():
        go_on = asyncio.Event()

        async def answer(request):
            if request.url.path.endswith("refreshSession"):
                await go_on.wait()
            return await fake(request)

        sessions = made(database, seal, hooks, answer)
        keep(database, sessions, fake, clock)
        set_row(database, access_expires_at=clock.now)
        told = await refused(sessions)
        go_on.set()
        await sessions.finish()
        return told

    assert isinstance(asyncio.run(story()).cause, httpx.ReadTimeout)
    assert row(database).generation == 2


def test_a_token_that_was_refused_is_not_renewed_for_longer_either(database, seal, hooks, clock):
    """What the PDS refused for its token has changed nothing there."""

    async def story():
        async def answer(_request):
            set_row(database, refresh_until=clock.now + timedelta(hours=1), refresh_owner="another process")
            return error("ExpiredToken")

        sessions = made(database, seal, hooks, answer)
        keep(database, sessions, FakePds(), clock)
        told = await refused(sessions)
        set_row(database, generation=2, refresh_until=None)
        await sessions.finish()
        return told

    assert asyncio.run(story()).cause is None
