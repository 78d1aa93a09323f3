"""PDS sessions of one account, at a PDS that is a Python function."""

import asyncio
from datetime import timedelta

import httpx
from pydantic import SecretStr
from sqlalchemy import select, update

from eventstore.event_log import EventLog
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import SessionKind, Tokens, pds_session
from tests.identity.sessions.fake_pds import DID, ORIGIN

GET_SESSION = "com.atproto.server.getSession"
UPLOAD = "com.atproto.repo.uploadBlob"


def new_sessions(database, cipher, hooks, answer):
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return PdsSessions(
        EventLog(database), cipher, http, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in
    )


class HeldRefresh:
    """Answers as `fake`, a refresh not before `go_on`."""

    def __init__(self, fake):
        self.fake = fake
        self.arrived, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, request):
        if request.url.path.endswith("refreshSession"):
            self.arrived.set()
            await self.go_on.wait()
        return await self.fake(request)


def store_session(database, sessions, fake, clock):
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
