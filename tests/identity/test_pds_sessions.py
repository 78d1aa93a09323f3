import asyncio
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select, update
from sqlalchemy.exc import OperationalError

from eventstore.unit_of_work import EventLog
from identity.errors import SessionUnavailableError, SignInRequiredError
from identity.pds_sessions import PdsSessions
from identity.seal import Seal
from identity.session_rows import LEASE, SessionKind, pds_session
from identity.tokens import Tokens
from tests.identity.conftest import by
from tests.identity.fake_pds import DID, ORIGIN, FakePds, error

GET_SESSION = "com.atproto.server.getSession"
UPLOAD = "com.atproto.repo.uploadBlob"


@pytest.fixture
def fake():
    return FakePds()


@pytest.fixture
def sessions(database, seal, hooks, fake, clock):
    sessions = made(database, seal, hooks, fake)
    keep(database, sessions, fake, clock)
    hooks.calls.clear()
    return sessions


def made(database, seal, hooks, answer):
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return PdsSessions(
        EventLog(database), seal, http, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in
    )


def keep(database, sessions, fake, clock):
    ends = clock.now + timedelta(hours=2)
    tokens = Tokens(SecretStr(fake.access), SecretStr(fake.refresh), "com.atproto.appPass", ends)
    with database.write() as connection:
        sessions.signed_in(connection, did=DID, kind=SessionKind.APP_PASSWORD, pds_url=ORIGIN, tokens=tokens)


def ask(sessions, nsid=GET_SESSION, **given):
    return asyncio.run(sessions.request(DID, "POST", nsid, timeout=5, **given))


def row(database):
    with database.read() as connection:
        return connection.execute(select(pds_session).where(pds_session.c.did == DID)).one_or_none()


def set_row(database, **values):
    with database.write() as connection:
        connection.execute(update(pds_session).values(**values))


def test_a_request_carries_the_access_token(sessions, fake, database):
    reply = ask(sessions, json={"a": 1}, params={"p": "q"}, headers={"x-y": "z"})
    assert reply.json() == {"did": DID}
    (sent,) = fake.requests
    assert str(sent.url) == f"{ORIGIN}/xrpc/{GET_SESSION}?p=q"
    assert sent.headers["x-y"] == "z"
    assert (fake.bodies, fake.refreshes, row(database).generation) == ([b'{"a":1}'], 0, 1)


def test_the_reply_does_not_keep_the_token(sessions):
    assert "authorization" not in ask(sessions).request.headers


def test_nobody_signed_in_means_that_a_sign_in_is_required(database, seal, hooks, fake):
    with pytest.raises(SignInRequiredError) as refused:
        ask(made(database, seal, hooks, fake))
    assert refused.value.did == DID
    assert fake.requests == []


@pytest.mark.parametrize("left", [61, 60, -3600])
def test_the_token_is_refreshed_a_minute_before_it_ends(sessions, fake, database, clock, left):
    refreshes = int(left <= 60)
    set_row(database, access_expires_at=clock.now + timedelta(seconds=left))
    assert ask(sessions).status_code == 200
    assert fake.refreshes == refreshes
    assert row(database).generation == 1 + refreshes
    assert row(database).refresh_until is None


@pytest.mark.parametrize(
    "refusal",
    [("ExpiredToken", 400), ("ExpiredToken", 401), ("InvalidToken", 400), ("AuthMissing", 401)],
)
def test_a_refused_token_is_refreshed_once_and_the_body_made_anew(database, seal, hooks, clock, refusal):
    fake, refusals = FakePds(), [error(*refusal)]

    async def answer(request):
        body = await request.aread()
        if refusals and request.url.path.endswith(UPLOAD):
            fake.bodies.append(body)
            return refusals.pop()
        return await fake(request)

    sessions = made(database, seal, hooks, answer)
    keep(database, sessions, fake, clock)

    async def chunks():
        yield b"abc"
        yield b"def"

    reply = ask(sessions, UPLOAD, body=chunks, headers={"content-length": "6", "content-type": "audio/mpeg"})
    assert reply.status_code == 200
    assert fake.bodies == [b"abcdef", b"abcdef"]
    assert (fake.refreshes, row(database).generation) == (1, 2)


def test_a_token_refused_twice_is_given_back_as_it_is(database, seal, hooks, clock):
    fake = FakePds()

    async def answer(request):
        return await fake(request) if "refresh" in request.url.path else error("ExpiredToken")

    sessions = made(database, seal, hooks, answer)
    keep(database, sessions, fake, clock)
    assert ask(sessions).json()["error"] == "ExpiredToken"
    assert fake.refreshes == 1


@pytest.mark.parametrize(
    "refusal",
    [
        ("AuthenticationRequired", 401),
        ("AccountDeactivated", 401),
        ("InvalidRequest", 400),
        ("Boom", 500),
        ("Slow", 429),
    ],
)
def test_no_other_error_is_tried_again(database, seal, hooks, clock, refusal):
    fake = FakePds()
    sent = []

    async def answer(request):
        sent.append(request)
        return error(*refusal)

    sessions = made(database, seal, hooks, answer)
    keep(database, sessions, fake, clock)
    assert ask(sessions).status_code == refusal[1]
    assert len(sent) == 1


def test_a_failed_request_raises_what_httpx_raises_without_the_token(database, seal, hooks, clock):
    async def answer(request):
        raise httpx.ReadTimeout("slow", request=request)

    sessions = made(database, seal, hooks, answer)
    keep(database, sessions, FakePds(), clock)
    with pytest.raises(httpx.ReadTimeout) as failed:
        ask(sessions)
    assert "authorization" not in failed.value.request.headers


def test_a_reply_without_end_is_cut_off(database, seal, hooks, clock, monkeypatch):
    monkeypatch.setattr("identity.pds_calls.MAX_REPLY_BYTES", 1000)
    sessions = made(database, seal, hooks, lambda _: httpx.Response(200, content=b"x" * 1001))
    keep(database, sessions, FakePds(), clock)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(sessions)


@pytest.mark.parametrize(
    "refusal",
    [("ExpiredToken", 400), ("InvalidToken", 400), ("AccountTakedown", 401), ("InvalidRequest", 400)],
)
def test_a_refresh_token_that_is_over_asks_for_a_sign_in_and_is_not_kept(
    sessions, fake, database, hooks, refusal
):
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
    keep(database, sessions, fake, clock)
    assert ask(sessions).status_code == 200
    assert hooks.calls == [("reauth", DID), ("signed_in", DID, ORIGIN)]
    assert (row(database).status, row(database).generation) == ("active", 2)


def test_a_sign_in_that_comes_during_a_doomed_refresh_wins(sessions, fake, database, clock, hooks):
    def sign_in_meanwhile():
        keep(database, sessions, fake, clock)
        return error("ExpiredToken")

    def park(connection, _did):
        connection.execute(update(pds_session).values(scope="parked"))

    hooks.park = park
    fake.on_refresh = sign_in_meanwhile
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert (row(database).status, row(database).scope) == ("active", "com.atproto.appPass")


def test_a_sign_in_that_comes_during_a_refresh_is_not_overwritten(sessions, fake, database, clock):
    def sign_in_meanwhile():
        keep(database, sessions, fake, clock)

    fake.on_refresh = sign_in_meanwhile
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert row(database).generation == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("down"),
        httpx.ReadTimeout("slow"),
        error("InternalServerError", 500),
        error("AccountDeactivated", 401),
        httpx.Response(429, headers={"retry-after": "7"}, json={"error": "RateLimitExceeded"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(302, headers={"location": "https://pds.example.com/other"}),
    ],
)
def test_a_refresh_that_fails_for_now_can_be_tried_again(sessions, fake, database, hooks, answer):
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


def test_many_requests_at_once_refresh_once(sessions, fake, database, clock):
    set_row(database, access_expires_at=clock.now)

    async def many():
        return await asyncio.gather(
            *(sessions.request(DID, "POST", GET_SESSION, timeout=5) for _ in range(20))
        )

    assert {reply.status_code for reply in asyncio.run(many())} == {200}
    assert (fake.refreshes, row(database).generation) == (1, 2)


def test_a_token_that_died_while_another_process_stores_the_next_is_waited_for(database, seal, hooks, clock):
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

    sessions = made(database, seal, hooks, gate)
    keep(database, sessions, fake, clock)
    assert ask(sessions).status_code == 200
    assert (fake.refreshes, row(database).generation) == (1, 3)


def test_who_crashed_with_the_lease_holds_the_others_up_until_it_ends(sessions, clock, fake):
    rows = sessions._rows  # noqa: SLF001
    assert rows.claim(DID, 1, "somebody who crashed")
    assert not rows.claim(DID, 1, "me")
    clock.advance(seconds=LEASE.total_seconds() - 1)
    assert rows.load(DID).refreshing
    clock.advance(seconds=1)
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert fake.refreshes == 1


def test_waiting_for_another_process_is_bounded(database, seal, hooks, fake, clock):
    sessions = PdsSessions(
        EventLog(database),
        seal,
        httpx.AsyncClient(transport=httpx.MockTransport(fake)),
        on_reauth=hooks.on_reauth,
        on_signed_in=hooks.on_signed_in,
        lease=timedelta(milliseconds=50),
    )
    keep(database, sessions, fake, clock)
    set_row(database, refresh_until=clock.now + timedelta(hours=1), refresh_owner="a very slow one")
    with pytest.raises(SessionUnavailableError):
        asyncio.run(sessions.refresh(DID, 1))
    assert fake.refreshes == 0


def test_a_cancelled_request_does_not_abandon_the_refresh(database, seal, hooks, clock):
    fake = FakePds()

    async def story():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def answer(request):
            if request.url.path.endswith("refreshSession"):
                arrived.set()
                await go_on.wait()
            return await fake(request)

        sessions = made(database, seal, hooks, answer)
        keep(database, sessions, fake, clock)
        set_row(database, access_expires_at=clock.now)
        request = asyncio.create_task(sessions.request(DID, "POST", GET_SESSION, timeout=5))
        await arrived.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        go_on.set()
        await sessions.finish()
        return await sessions.request(DID, "POST", GET_SESSION, timeout=5)

    assert asyncio.run(story()).status_code == 200
    assert (fake.refreshes, row(database).generation) == (1, 2)


def test_new_tokens_survive_a_database_that_is_busy_for_a_moment(sessions, fake, monkeypatch):
    rows, failures = sessions._rows, [OperationalError("", {}, Exception("database is locked"))]  # noqa: SLF001
    store = rows.store

    def sometimes(*given):
        if failures:
            raise failures.pop()
        return store(*given)

    monkeypatch.setattr(rows, "store", sometimes)
    assert asyncio.run(sessions.refresh(DID, 1)).generation == 2
    assert ask(sessions).status_code == 200
    assert fake.refreshes == 1


def test_a_sealed_row_copied_to_another_account_does_not_open(sessions, fake, database):
    with database.write() as connection:
        values = dict(connection.execute(select(pds_session)).one()._mapping)  # noqa: SLF001
        connection.execute(insert(pds_session).values(values | {"did": "did:plc:mallory"}))
    with pytest.raises(SessionUnavailableError, match="do not open"):
        asyncio.run(sessions.request("did:plc:mallory", "GET", GET_SESSION, timeout=5))
    assert fake.requests == []


@pytest.mark.usefixtures("sessions")
def test_after_a_key_rotation_the_next_refresh_seals_with_the_new_key(fake, database, hooks):
    rotated = Seal(
        ["a new secret, also thirty-two characters long", "a secret that only this test knows, k1"]
    )
    renewed = made(database, rotated, hooks, fake)
    assert ask(renewed).status_code == 200
    assert not rotated.is_current(row(database).sealed)
    asyncio.run(renewed.refresh(DID, 1))
    assert rotated.is_current(row(database).sealed)


def test_with_the_wrong_keys_the_session_waits_and_is_not_ended(database, hooks, fake, sessions):
    stranger = made(database, Seal(["z" * 32]), hooks, fake)
    for attempt in (lambda: ask(stranger), lambda: asyncio.run(stranger.refresh(DID, 1))):
        with pytest.raises(SessionUnavailableError):
            attempt()
    assert (row(database).status, row(database).refresh_until) == ("active", None)
    assert ask(sessions).status_code == 200


def test_a_login_that_nobody_uses_is_kept_alive(sessions, fake, database, clock):
    since = timedelta(days=5)

    def keep_alive():
        return asyncio.run(sessions.refresh_idle(since, at_once=2))

    clock.advance(days=4)
    assert keep_alive() == (0, 0)
    clock.advance(days=1)
    assert keep_alive() == (1, 0)
    assert (fake.refreshes, row(database).generation) == (1, 2)
    assert keep_alive() == (0, 0)


def test_a_login_that_could_not_be_kept_alive_is_due_again_unless_it_is_over(sessions, fake, clock, hooks):
    clock.advance(days=5)
    for answer, counted in ((error("Boom", 500), (0, 1)), (error("ExpiredToken"), (0, 1)), (None, (0, 0))):
        fake.on_refresh = lambda answer=answer: answer
        assert asyncio.run(sessions.refresh_idle(timedelta(days=5), at_once=2)) == counted
    assert hooks.calls == [("reauth", DID)]


def test_a_session_is_given_back_with_its_refresh_token(sessions, fake, database, hooks):
    fake.on_delete = httpx.Response(200)
    assert asyncio.run(sessions.disconnect(DID, by(DID))) is True
    assert (row(database).sealed, row(database).last_error) == (None, "disconnected")
    assert hooks.calls == [("reauth", DID)]
    assert fake.deleted == [f"Bearer {fake.refresh}"]
    assert asyncio.run(sessions.disconnect(DID, by(DID))) is True


@pytest.mark.parametrize("answer", [error("Boom", 500), httpx.ReadTimeout("slow")])
def test_a_session_that_the_pds_does_not_take_back_ends_here_all_the_same(sessions, fake, database, answer):
    fake.on_delete = answer
    assert asyncio.run(sessions.disconnect(DID, by(DID))) is False
    assert row(database).sealed is None


def test_nobody_renews_what_is_being_given_back(database, seal, hooks, clock):
    """A renewal under way ends first; one that comes later finds nothing."""
    fake = FakePds()
    fake.on_delete = httpx.Response(200)

    async def story():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def answer(request):
            if request.url.path.endswith("refreshSession"):
                arrived.set()
                await go_on.wait()
            return await fake(request)

        sessions = made(database, seal, hooks, answer)
        keep(database, sessions, fake, clock)
        renewal = asyncio.create_task(sessions.refresh(DID, 1))
        await arrived.wait()
        ended = asyncio.create_task(sessions.disconnect(DID, by(DID)))
        go_on.set()
        assert (await renewal).generation == 2
        assert await ended is True
        with pytest.raises(SignInRequiredError):
            await sessions.refresh(DID, 2)

    asyncio.run(story())
    assert fake.deleted == [f"Bearer {fake.refresh}"], "the newest token, not the one that was rotated away"


def test_what_is_meant_for_another_pds_is_not_sent(sessions, fake, database):
    assert ask(sessions, pds_url=ORIGIN).status_code == 200
    seen = len(fake.requests)
    with pytest.raises(SignInRequiredError):
        ask(sessions, pds_url="https://elsewhere.example.com")
    assert len(fake.requests) == seen
    assert row(database).status == "active"
