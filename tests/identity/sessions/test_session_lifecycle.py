"""Sessions at rest: encryption, refresh of idle sessions, disconnect, and requests for another PDS."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import httpx
import pytest

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from identity.sessions.encryption import Cipher
from tests.identity.conftest import by
from tests.identity.sessions.fake_pds import DID, ORIGIN, FakePds, error
from tests.identity.sessions.session_rig import HeldRefresh, ask, new_sessions, row
from tests.servers.databases import ON_SQLITE


@ON_SQLITE
def test_a_session_that_does_not_decrypt_is_kept(database, hooks, fake, sessions):
    stranger = new_sessions(database, Cipher(["z" * 32]), hooks, fake)
    for attempt in (lambda: ask(stranger), lambda: asyncio.run(stranger.refresh(DID, 1))):
        with pytest.raises(SessionUnavailableError):
            attempt()
    assert (row(database).status, row(database).refresh_until) == ("active", None)
    assert ask(sessions).status_code == 200


def test_an_idle_login_is_refreshed(sessions, fake, database, clock):
    since = timedelta(days=5)

    def keep_alive():
        return asyncio.run(sessions.refresh_idle(since, max_concurrent=2))

    clock.advance(days=4)
    assert keep_alive() == (0, 0)
    clock.advance(days=1)
    assert keep_alive() == (1, 0)
    assert (fake.refreshes, row(database).generation) == (1, 2)
    assert keep_alive() == (0, 0)


def test_an_idle_login_whose_refresh_failed_is_due_again_unless_it_has_ended(sessions, fake, clock, hooks):
    clock.advance(days=5)
    for answer, counted in ((error("Boom", 500), (0, 1)), (error("ExpiredToken"), (0, 1)), (None, (0, 0))):
        fake.on_refresh = lambda answer=answer: answer
        assert asyncio.run(sessions.refresh_idle(timedelta(days=5), max_concurrent=2)) == counted
    assert hooks.calls == [("reauth", DID)]


def test_disconnect_revokes_the_session_with_its_refresh_token(sessions, fake, database, hooks):
    fake.on_delete = httpx.Response(200)
    assert asyncio.run(sessions.disconnect(DID, by(DID))) is True
    assert (row(database).sealed, row(database).last_error) == (None, "disconnected")
    assert hooks.calls == [("reauth", DID)]
    assert fake.deleted == [f"Bearer {fake.refresh}"]
    assert asyncio.run(sessions.disconnect(DID, by(DID))) is True


@ON_SQLITE
def test_disconnect_ends_the_session_here_although_the_pds_refuses_the_revocation(sessions, fake, database):
    fake.on_delete = error("Boom", 500)
    assert asyncio.run(sessions.disconnect(DID, by(DID))) is False
    assert row(database).sealed is None


@ON_SQLITE
def test_a_session_is_not_refreshed_while_it_is_revoked(sessions_at):
    """A refresh in progress finishes first; a later one finds no session."""
    fake = FakePds()
    fake.on_delete = httpx.Response(200)

    async def story():
        answer = HeldRefresh(fake)
        sessions = sessions_at(answer, fake)
        renewal = asyncio.create_task(sessions.refresh(DID, 1))
        await answer.arrived.wait()
        ended = asyncio.create_task(sessions.disconnect(DID, by(DID)))
        answer.go_on.set()
        with suppress(SignInRequiredError):  # it was stored, and ended before it was read again
            assert (await renewal).generation == 2
        assert await ended is True
        with pytest.raises(SignInRequiredError):
            await sessions.refresh(DID, 2)

    asyncio.run(story())
    assert fake.deleted == [f"Bearer {fake.refresh}"], "the newest token, not the one that was rotated away"


@ON_SQLITE
def test_a_request_for_another_pds_is_not_sent(sessions, fake, database):
    assert ask(sessions, host=ORIGIN).status_code == 200
    seen = len(fake.requests)
    with pytest.raises(SignInRequiredError):
        ask(sessions, host="https://elsewhere.example.com")
    assert len(fake.requests) == seen
    assert row(database).status == "active"
