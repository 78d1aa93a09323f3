"""Requests on behalf of an account: each has its token, and is sent again if the PDS refuses the token as expired."""

from datetime import timedelta

import httpx
import pytest

from identity.errors import SignInRequiredError
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


def test_a_request_carries_the_access_token(sessions, fake, database):
    reply = ask(sessions, json={"a": 1}, params={"p": "q"}, headers={"x-y": "z"})
    assert reply.json() == {"did": DID}
    (sent,) = fake.requests
    assert str(sent.url) == f"{ORIGIN}/xrpc/{GET_SESSION}?p=q"
    assert sent.headers["x-y"] == "z"
    assert (fake.bodies, fake.refreshes, row(database).generation) == ([b'{"a":1}'], 0, 1)


def test_the_reply_does_not_keep_the_token(sessions):
    assert "authorization" not in ask(sessions).request.headers


def test_a_request_without_a_session_requires_a_sign_in(database, cipher, hooks, fake):
    with pytest.raises(SignInRequiredError) as refused:
        ask(new_sessions(database, cipher, hooks, fake))
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
def test_a_refused_token_is_refreshed_once_and_the_body_made_anew(database, cipher, hooks, clock, refusal):
    fake, refusals = FakePds(), [error(*refusal)]

    async def answer(request):
        body = await request.aread()
        if refusals and request.url.path.endswith(UPLOAD):
            fake.bodies.append(body)
            return refusals.pop()
        return await fake(request)

    sessions = new_sessions(database, cipher, hooks, answer)
    store_session(database, sessions, fake, clock)

    async def chunks():
        yield b"abc"
        yield b"def"

    reply = ask(sessions, UPLOAD, body=chunks, headers={"content-length": "6", "content-type": "audio/mpeg"})
    assert reply.status_code == 200
    assert fake.bodies == [b"abcdef", b"abcdef"]
    assert (fake.refreshes, row(database).generation) == (1, 2)


def test_a_second_refusal_of_the_token_is_returned(database, cipher, hooks, clock):
    fake = FakePds()

    async def answer(request):
        return await fake(request) if "refresh" in request.url.path else error("ExpiredToken")

    sessions = new_sessions(database, cipher, hooks, answer)
    store_session(database, sessions, fake, clock)
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
def test_no_other_error_is_tried_again(database, cipher, hooks, clock, refusal):
    fake = FakePds()
    sent = []

    async def answer(request):
        sent.append(request)
        return error(*refusal)

    sessions = new_sessions(database, cipher, hooks, answer)
    store_session(database, sessions, fake, clock)
    assert ask(sessions).status_code == refusal[1]
    assert len(sent) == 1


def test_a_failed_request_raises_what_httpx_raises_without_the_token(database, cipher, hooks, clock):
    async def answer(request):
        raise httpx.ReadTimeout("slow", request=request)

    sessions = new_sessions(database, cipher, hooks, answer)
    store_session(database, sessions, FakePds(), clock)
    with pytest.raises(httpx.ReadTimeout) as failed:
        ask(sessions)
    assert "authorization" not in failed.value.request.headers


def test_a_reply_without_end_is_cut_off(database, cipher, hooks, clock, monkeypatch):
    monkeypatch.setattr("identity.sessions.signed_requests.MAX_REPLY_BYTES", 1000)
    sessions = new_sessions(database, cipher, hooks, lambda _: httpx.Response(200, content=b"x" * 1001))
    store_session(database, sessions, FakePds(), clock)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(sessions)
