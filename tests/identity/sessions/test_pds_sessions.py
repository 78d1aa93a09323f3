"""Requests on behalf of an account: each has its token, and is sent again if the PDS refuses the token as expired."""

import asyncio
import contextlib
import logging
import sqlite3
from datetime import timedelta
from unittest.mock import Mock

import httpx
import pytest
from sqlalchemy import event, make_url
from sqlalchemy.exc import OperationalError

from aggregates.errors import SignInRequiredError
from eventstore.errors import LogBusyError
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import account_of
from tests.identity.conftest import by, noted
from tests.identity.sessions.fake_pds import DID, ORIGIN, FakePds, error
from tests.identity.sessions.session_rig import (
    GET_SESSION,
    UPLOAD,
    ask,
    new_sessions,
    row,
    set_row,
    store_session,
)
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async


@ON_SQLITE
def test_a_request_carries_the_access_token(sessions, fake, database):
    reply = ask(sessions, json={"a": 1}, params={"p": "q"}, headers={"x-y": "z"})
    assert reply.json() == {"did": DID}
    (sent,) = fake.requests
    assert str(sent.url) == f"{ORIGIN}/xrpc/{GET_SESSION}?p=q"
    assert sent.headers["x-y"] == "z"
    assert (fake.bodies, fake.refreshes, row(database).generation) == ([b'{"a":1}'], 0, 1)


@ON_SQLITE
def test_a_request_without_a_session_requires_a_sign_in(database, cipher, hooks, fake):
    with pytest.raises(SignInRequiredError) as refused:
        ask(new_sessions(database, cipher, hooks, fake))
    assert refused.value.did == DID
    assert fake.requests == []


@pytest.mark.parametrize("left", [61, 60])
@ON_SQLITE
def test_the_token_is_refreshed_a_minute_before_it_ends(sessions, fake, database, clock, left):
    refreshes = int(left <= 60)
    set_row(database, access_expires_at=clock.now + timedelta(seconds=left))
    assert ask(sessions).status_code == 200
    assert fake.refreshes == refreshes
    assert row(database).generation == 1 + refreshes
    assert row(database).refresh_until is None


@pytest.mark.parametrize(
    "refusal",
    [("ExpiredToken", 401), ("InvalidToken", 400), ("AuthMissing", 401)],
)
@ON_SQLITE
def test_a_refused_token_is_refreshed_once_and_the_body_made_anew(sessions_at, database, refusal):
    fake, refusals = FakePds(), [error(*refusal)]

    async def answer(request):
        body = await request.aread()
        if refusals and request.url.path.endswith(UPLOAD):
            fake.bodies.append(body)
            return refusals.pop()
        return await fake(request)

    sessions = sessions_at(answer, fake)

    async def chunks():
        yield b"abc"
        yield b"def"

    reply = ask(sessions, UPLOAD, body=chunks, headers={"content-length": "6", "content-type": "audio/mpeg"})
    assert reply.status_code == 200
    assert fake.bodies == [b"abcdef", b"abcdef"]
    assert (fake.refreshes, row(database).generation) == (1, 2)


@ON_SQLITE
def test_a_second_refusal_of_the_token_is_returned(sessions_at):
    fake = FakePds()

    async def answer(request):
        return await fake(request) if "refresh" in request.url.path else error("ExpiredToken")

    sessions = sessions_at(answer, fake)
    assert ask(sessions).json()["error"] == "ExpiredToken"
    assert fake.refreshes == 1


@pytest.mark.parametrize("refusal", [("AuthenticationRequired", 401), ("Boom", 500)])
@ON_SQLITE
def test_no_other_error_is_tried_again(sessions_at, refusal):
    fake = FakePds()
    sent = []

    async def answer(request):
        sent.append(request)
        return error(*refusal)

    sessions = sessions_at(answer, fake)
    assert ask(sessions).status_code == refusal[1]
    assert len(sent) == 1


@ON_SQLITE
def test_a_failed_request_raises_what_httpx_raises_without_the_token(sessions_at):
    async def answer(request):
        raise httpx.ReadTimeout("slow", request=request)

    sessions = sessions_at(answer)
    with pytest.raises(httpx.ReadTimeout) as failed:
        ask(sessions)
    assert "authorization" not in failed.value.request.headers


@ON_SQLITE
def test_a_reply_without_end_is_cut_off(sessions_at, monkeypatch):
    monkeypatch.setattr("identity.sessions.signed_requests.MAX_REPLY_BYTES", 1000)
    sessions = sessions_at(lambda _: httpx.Response(200, content=b"x" * 1001))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(sessions)


LONG = 60
MORE_THAN_A_MOMENT = 6
"""More failed attempts than a busy database causes."""


@pytest.fixture
def impatient(monkeypatch):
    """SQLite reports a busy file at once, and it is tried again soon."""
    monkeypatch.setattr("eventstore.sql.database.SQLITE_BUSY_SECONDS", 0.02)
    monkeypatch.setattr("identity.sessions.pds_sessions.MAX_PAUSE_SECONDS", 0.1)


@pytest.fixture
def on_file(impatient, migrated_sqlite, clock):  # noqa: ARG001
    database = Database(migrated_sqlite, clock=clock)
    yield database
    database.close()


@pytest.fixture
def tried(caplog):
    caplog.set_level(logging.DEBUG)

    def times():
        return max((each.attempt for each in caplog.records if each.msg == "not_written_yet"), default=0)

    return times


def another_writer(database):
    other = sqlite3.connect(make_url(database.url).database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_new_tokens_outlast_another_writer_of_the_file(on_file, cipher, hooks, clock, tried):
    fake, others = FakePds(), []
    fake.before_refresh = lambda: others.append(another_writer(on_file))
    sessions = new_sessions(on_file, cipher, hooks, fake)
    store_session(on_file, sessions, fake, clock)

    async def story():
        refresh = asyncio.create_task(sessions.refresh(DID, 1))
        await until_async(lambda: refresh.done() or tried() >= MORE_THAN_A_MOMENT)
        others.pop().close()
        return await refresh

    assert asyncio.run(story()).generation == 2
    assert ask(sessions).status_code == 200
    assert fake.refreshes == 1


@contextlib.contextmanager
def a_commit_without_an_answer(database, *, happens):
    """The next commit is lost on its way to the database, or its answer on the way back."""

    def lose(connection):
        event.remove(database.engine, "commit", lose)
        if happens:
            connection.connection.dbapi_connection.commit()
        raise OperationalError("COMMIT", {}, Exception("connection lost"))

    event.listen(database.engine, "commit", lose)
    yield
    assert not event.contains(database.engine, "commit", lose)


@pytest.mark.parametrize("happens", [True, False])
def test_new_tokens_are_stored_once_although_their_commit_got_no_answer(
    *, sessions, fake, database, tried, happens
):
    with contextlib.ExitStack() as trouble:
        fake.before_refresh = lambda: trouble.enter_context(
            a_commit_without_an_answer(database, happens=happens)
        )
        assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert tried() == 1
    assert ask(sessions).status_code == 200
    assert (fake.refreshes, row(database).generation) == (1, 2)


def note_a_sign_in(database, clock):
    session = {"method": "app_password", "handle": "a.test", "pds_url": ORIGIN, "name": "", "scope": "write"}

    def note(unit):
        account = account_of(unit)
        account.sign_in("session", **session, expires_at=None, at=clock.now)
        unit.save(account)

    EventLog(database).transact(DID, by(DID), note)


@pytest.mark.parametrize("happens", [True, False])
def test_disconnect_deletes_the_tokens_although_the_commit_got_no_answer(
    *, sessions_at, database, clock, happens
):
    fake = FakePds()
    with contextlib.ExitStack() as trouble:

        async def answer(request):
            if request.url.path.endswith("deleteSession"):
                trouble.enter_context(a_commit_without_an_answer(database, happens=happens))
                return httpx.Response(200)
            return await fake(request)

        sessions = sessions_at(answer, fake)
        note_a_sign_in(database, clock)
        assert asyncio.run(sessions.disconnect(DID, by(DID))) is True
    assert (row(database).sealed, row(database).last_error) == (None, "disconnected")
    assert noted(database, DID) == ["SignedIn", "Disconnected"]


def test_a_process_that_ends_waits_only_so_long_for_the_database_and_logs_lost_tokens(
    *, on_file, cipher, hooks, clock, tried, caplog
):
    fake, others = FakePds(), []
    fake.before_refresh = lambda: others.append(another_writer(on_file))
    sessions = new_sessions(on_file, cipher, hooks, fake)
    store_session(on_file, sessions, fake, clock)

    async def story():
        refresh = asyncio.create_task(sessions.refresh(DID, 1))
        await until_async(lambda: refresh.done() or tried() >= 1)
        async with asyncio.timeout(LONG):
            await sessions.finish(timeout=0.1)
        with pytest.raises(LogBusyError):
            await refresh

    asyncio.run(story())
    others.pop().close()
    [lost] = [each for each in caplog.records if getattr(each, "outcome", None) == "lost"]
    assert (lost.msg, lost.did, lost.generation) == ("session_refresh", DID, 1)
    [record] = [each for each in caplog.records if each.msg == "not_written"]
    assert (record.did, record.error) == (DID, "LogBusyError")


@ON_SQLITE
def test_a_permanent_error_is_not_retried(sessions, tried):
    sessions._rows.store = Mock(side_effect=ZeroDivisionError)  # noqa: SLF001
    with pytest.raises(ZeroDivisionError):
        asyncio.run(sessions.refresh(DID, 1))
    assert tried() == 0
