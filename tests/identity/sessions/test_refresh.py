"""Tokens are refreshed once despite concurrent requests, crashes and sign-ins; an ended session requires a sign-in."""

import asyncio
import threading
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import update

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from identity.sessions import session_store
from identity.sessions.session_store import REFRESH_LEASE_TTL, Tokens, pds_session
from tests.identity.conftest import by
from tests.identity.sessions.fake_pds import DID, ORIGIN, FakePds, error
from tests.identity.sessions.session_rig import (
    GET_SESSION,
    HeldRefresh,
    ask,
    row,
    set_row,
    store_session,
)
from tests.servers.databases import ON_SQLITE


@pytest.mark.parametrize(
    "refusal",
    [("ExpiredToken", 400), ("InvalidToken", 400), ("AccountTakedown", 401), ("InvalidRequest", 400)],
)
@ON_SQLITE
def test_a_refused_refresh_token_is_deleted_and_requires_a_sign_in(sessions, fake, database, hooks, refusal):
    fake.on_refresh = lambda: error(*refusal)
    set_row(database, access_expires_at=None)
    with pytest.raises(SignInRequiredError) as refused:
        asyncio.run(sessions.refresh(DID, 1))
    assert refused.value.reason == refusal[0]
    ended = row(database)
    assert (ended.status, ended.sealed, ended.last_error) == ("reauth_required", None, refusal[0])
    assert hooks.calls == [("reauth", DID)]
    with pytest.raises(SignInRequiredError):
        ask(sessions)
    assert fake.refreshes == 1


def test_a_new_sign_in_revives_an_ended_session(sessions, fake, database, hooks, clock):
    fake.on_refresh = lambda: error("ExpiredToken")
    with pytest.raises(SignInRequiredError):
        asyncio.run(sessions.refresh(DID, 1))
    store_session(database, sessions, fake, clock)
    assert ask(sessions).status_code == 200
    assert hooks.calls == [("reauth", DID), ("signed_in", DID, ORIGIN)]
    assert (row(database).status, row(database).generation) == ("active", 2)


def test_a_sign_in_that_comes_during_a_doomed_refresh_wins(sessions, fake, database, clock, hooks):
    def sign_in_meanwhile():
        store_session(database, sessions, fake, clock)
        return error("ExpiredToken")

    def park(connection, _did):
        connection.execute(update(pds_session).values(scope="parked"))

    hooks.park = park
    fake.on_refresh = sign_in_meanwhile
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert (row(database).status, row(database).scope) == ("active", "com.atproto.appPass")


def test_a_sign_in_that_comes_during_a_refresh_is_not_overwritten(sessions, fake, database, clock):
    def sign_in_meanwhile():
        store_session(database, sessions, fake, clock)

    fake.on_refresh = sign_in_meanwhile
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert row(database).generation == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("slow"),
        error("AccountDeactivated", 401),
        httpx.Response(429, headers={"retry-after": "7"}, json={"error": "RateLimitExceeded"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(500, content=r'{"error": "Half\ud83cACharacter\u0000"}'),
    ],
)
def test_a_refresh_that_fails_temporarily_can_be_retried(sessions, fake, database, hooks, answer):
    def fail():
        if isinstance(answer, Exception):
            raise answer
        return answer

    fake.on_refresh = fail
    with pytest.raises(SessionUnavailableError) as failed:
        asyncio.run(sessions.refresh(DID, 1))
    if isinstance(answer, Exception):
        assert failed.value.cause is answer
        assert "authorization" not in answer.request.headers
    else:
        assert failed.value.status == answer.status_code
        assert failed.value.retry_after == answer.headers.get("retry-after")
    assert (row(database).status, row(database).refresh_until, hooks.calls) == ("active", None, [])
    fake.on_refresh = lambda: None
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2


@ON_SQLITE
def test_many_requests_at_once_refresh_once(sessions, fake, database, clock):
    set_row(database, access_expires_at=clock.now)

    async def many():
        return await asyncio.gather(
            *(sessions.request(DID, "POST", GET_SESSION, timeout=5) for _ in range(20))
        )

    assert {reply.status_code for reply in asyncio.run(many())} == {200}
    assert (fake.refreshes, row(database).generation) == (1, 2)


def test_a_request_waits_for_the_tokens_that_another_process_is_storing(sessions_at, database):
    fake, others = FakePds(), set()

    async def answer(request):
        if request.url.path.endswith(GET_SESSION) and fake.refreshes == 1 and not others:
            assert sessions._rows.claim(DID, 2, "another process")  # noqa: SLF001
            fake.number += 1
            tokens = Tokens(SecretStr(fake.access), SecretStr(fake.refresh), "", None)
            others.add(asyncio.create_task(store(tokens)))
        return error("InvalidToken") if fake.refreshes == 0 else await fake(request)

    async def store(tokens):
        await asyncio.sleep(0)
        await asyncio.to_thread(sessions._rows.store, DID, 2, tokens)  # noqa: SLF001

    async def gate(request):
        return await (fake(request) if "refresh" in request.url.path else answer(request))

    sessions = sessions_at(gate, fake)
    assert ask(sessions).status_code == 200
    assert (fake.refreshes, row(database).generation) == (1, 3)


def test_a_crashed_refresh_blocks_others_until_its_lease_expires(sessions, clock, fake):
    rows = sessions._rows  # noqa: SLF001
    assert rows.claim(DID, 1, "a crashed process")
    assert not rows.claim(DID, 1, "me")
    clock.advance(seconds=REFRESH_LEASE_TTL.total_seconds() - 1)
    assert rows.load(DID).refreshing
    clock.advance(seconds=1)
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert fake.refreshes == 1


@ON_SQLITE
def test_waiting_for_another_process_is_bounded(sessions, fake, database, clock, monkeypatch):
    monkeypatch.setattr(session_store, "REFRESH_LEASE_TTL", timedelta(milliseconds=50))
    set_row(database, refresh_until=clock.now + timedelta(hours=1), refresh_owner="a very slow one")
    with pytest.raises(SessionUnavailableError):
        asyncio.run(sessions.refresh(DID, 1))
    assert fake.refreshes == 0


@pytest.mark.parametrize("does", ["renews", "disconnects"])
@ON_SQLITE
def test_a_process_that_ends_does_not_wait_for_anothers_refresh(sessions, fake, database, clock, does):
    set_row(database, refresh_until=clock.now + REFRESH_LEASE_TTL, refresh_owner="another process")
    looked, look = threading.Event(), sessions._rows.load  # noqa: SLF001

    def noticed(did):
        session = look(did)
        looked.set()
        return session

    sessions._rows.load = noticed  # noqa: SLF001

    async def story():
        asked = sessions.refresh(DID, 1) if does == "renews" else sessions.disconnect(DID, by(DID))
        waiting = asyncio.create_task(asked)
        await asyncio.to_thread(looked.wait, 5)
        async with asyncio.timeout(5):
            await sessions.finish()
        with pytest.raises(SessionUnavailableError, match="ending"):
            await waiting

    asyncio.run(story())
    assert (fake.refreshes, row(database).refresh_owner) == (0, "another process")
    assert row(database).status == "active"


@ON_SQLITE
def test_a_process_that_ends_stores_the_tokens_that_it_has_requested(sessions_at, database):
    fake = FakePds()

    async def story():
        answer = HeldRefresh(fake)
        sessions = sessions_at(answer, fake)
        renewal = asyncio.create_task(sessions.refresh(DID, 1))
        await answer.arrived.wait()
        ending = asyncio.create_task(sessions.finish())
        await asyncio.sleep(0)
        answer.go_on.set()
        await ending
        assert (fake.refreshes, row(database).generation) == (1, 2)
        await renewal

    asyncio.run(story())


@ON_SQLITE
def test_a_cancelled_request_does_not_abandon_the_refresh(sessions_at, database, clock):
    fake = FakePds()

    async def story():
        answer = HeldRefresh(fake)
        sessions = sessions_at(answer, fake)
        set_row(database, access_expires_at=clock.now)
        request = asyncio.create_task(sessions.request(DID, "POST", GET_SESSION, timeout=5))
        await answer.arrived.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        answer.go_on.set()
        await sessions.finish()
        return await sessions.request(DID, "POST", GET_SESSION, timeout=5)

    assert asyncio.run(story()).status_code == 200
    assert (fake.refreshes, row(database).generation) == (1, 2)
