"""Requests to a PDS in the name of an account, with tokens that are refreshed by one process at a time."""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import httpx
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from eventstore.database import Database
from identity.errors import SealBrokenError, SessionUnavailableError, SignInRequiredError
from identity.replies import error_name, send_whole
from identity.seal import Seal
from identity.session_calls import refresh_session
from identity.session_rows import LEASE, Session, SessionKind, SessionRows, Tokens

OVERTAKEN_TIMES: Final = 3
"""How often another process may have refreshed between our refresh and our request."""
REFRESH_BEFORE: Final = timedelta(seconds=60)
STALE_TOKEN: Final = frozenset({"ExpiredToken", "InvalidToken", "AuthMissing"})
MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
STORE_ATTEMPTS: Final = 4

Body = Callable[[], AsyncIterator[bytes]]


class PdsSessions:
    """One per event loop. `finish` before the loop ends: a refresh must not be abandoned."""

    def __init__(
        self,
        database: Database,
        seal: Seal,
        http: httpx.AsyncClient,
        *,
        on_reauth: Callable[[Connection, str], None],
        on_signed_in: Callable[[Connection, str, str], None],
        lease: timedelta = LEASE,
    ) -> None:
        self._rows = SessionRows(database, seal, on_reauth=on_reauth, on_signed_in=on_signed_in, lease=lease)
        self._http = http
        self._owner = uuid.uuid4().hex
        self._refreshes: dict[tuple[str, int], asyncio.Task[Session]] = {}

    def signed_in(
        self, connection: Connection, *, did: str, kind: SessionKind, pds_url: str, tokens: Tokens
    ) -> None:
        """Keep the tokens of a sign-in, inside its transaction, which must not have locked anything before."""
        self._rows.put(connection, did=did, kind=kind, pds_url=pds_url, tokens=tokens)

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | httpx.Timeout,
    ) -> httpx.Response:
        """Send one request, again only if the PDS refused the token before looking at anything else.

        Raises `SignInRequiredError`, `SessionUnavailableError`, or what httpx raises for the request itself.
        `body` is called once for each time of sending.
        """
        session = await asyncio.to_thread(self._rows.load, did)
        if session.expires_within(REFRESH_BEFORE):
            session = await self.refresh(did, session.generation)

        async def send(session: Session) -> httpx.Response:
            return await self._send(
                session, method, nsid, params=params, json=json, body=body, headers=headers, timeout=timeout
            )

        reply = await send(session)
        if error_name(reply) in STALE_TOKEN:
            session = await self.refresh(did, session.generation)
            reply = await send(session)
        for _ in range(OVERTAKEN_TIMES):
            if error_name(reply) not in STALE_TOKEN:
                break
            newest = await asyncio.to_thread(self._rows.load, did)
            if newest.generation == session.generation:
                break
            session, reply = newest, await send(newest)
        return reply

    async def refresh(self, did: str, seen_generation: int) -> Session:
        """A session newer than `seen_generation`. A cancelled caller leaves; the refresh goes on."""
        key = did, seen_generation
        task = self._refreshes.get(key)
        if task is None:
            task = asyncio.create_task(self._refresh(did, seen_generation))
            self._refreshes[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for the refreshes under way; each is bounded."""
        await asyncio.gather(*self._refreshes.values(), return_exceptions=True)

    def _forget(self, key: tuple[str, int], done: asyncio.Task[Session]) -> None:
        del self._refreshes[key]
        if not done.cancelled():
            done.exception()  # seen, also when every caller has left

    async def _refresh(self, did: str, seen_generation: int) -> Session:
        clock = asyncio.get_running_loop().time
        give_up, pause = clock() + 2 * self._rows.lease.total_seconds(), 0.02
        while True:
            session = await asyncio.to_thread(self._rows.load, did)
            if session.generation != seen_generation:
                return session
            if not session.refreshing and await asyncio.to_thread(
                self._rows.claim, did, seen_generation, self._owner
            ):
                return await self._renew(session)
            if clock() >= give_up:
                raise SessionUnavailableError(did, "another process has been refreshing for too long")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, 0.5)

    async def _renew(self, session: Session) -> Session:
        did, generation = session.did, session.generation
        try:
            old = self._open(session)
            new = await refresh_session(self._http, session.pds_url, did, old.refresh)
        except SignInRequiredError as error:
            await asyncio.to_thread(self._rows.end, did, generation, error.reason)
            # a sign-in that came in the meantime is as good as a refresh
            return await asyncio.to_thread(self._rows.load, did)
        except SessionUnavailableError as error:
            await asyncio.to_thread(self._rows.release, did, generation, self._owner, str(error))
            raise
        await self._store(did, generation, new)
        return await asyncio.to_thread(self._rows.load, did)

    async def _store(self, did: str, generation: int, tokens: Tokens) -> None:
        """The old tokens are spent: a database that is busy or gone for a moment must not lose the new ones."""
        for attempt in range(1, STORE_ATTEMPTS + 1):
            try:
                await asyncio.to_thread(self._rows.store, did, generation, tokens)
            except OperationalError:
                if attempt == STORE_ATTEMPTS:
                    raise
                await asyncio.sleep(attempt / 2)
            else:
                return

    async def _send(
        self,
        session: Session,
        method: str,
        nsid: str,
        *,
        params: Mapping[str, Any] | None,
        json: Any,
        body: Body | None,
        headers: Mapping[str, str] | None,
        timeout: float | httpx.Timeout,
    ) -> httpx.Response:
        chunks = None if body is None else body()
        # a refused upload can leave its connection unusable: it gets one of its own
        own = {} if body is None else {"connection": "close"}
        request = self._http.build_request(
            method,
            f"{session.pds_url}/xrpc/{nsid}",
            params=params,
            json=json,
            content=chunks,
            headers={**own, **(headers or {})},
            timeout=timeout,
        )
        request.headers["authorization"] = f"Bearer {self._open(session).access.get_secret_value()}"
        try:
            return await send_whole(self._http, request, limit=MAX_REPLY_BYTES)
        finally:
            del request.headers["authorization"]  # replies and errors hold on to the request
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    def _open(self, session: Session) -> Tokens:
        try:
            return self._rows.tokens(session)
        except SealBrokenError as error:
            # the tokens may be good: an operator can put the key back, or the person signs in again
            raise SessionUnavailableError(session.did, f"its tokens do not open: {error}") from None
