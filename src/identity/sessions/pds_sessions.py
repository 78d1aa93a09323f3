"""Requests to a PDS in the name of an account, with tokens that are refreshed by one process at a time."""

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import httpx
from sqlalchemy import Connection

from eventstore.account_stream import account_of
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from identity.errors import SealBrokenError, SessionUnavailableError, SignInRequiredError
from identity.resolution.http_responses import error_name
from identity.sessions.app_password_grants import AppPasswordGrants
from identity.sessions.encryption import Seal
from identity.sessions.retrying_writes import PatientWrites
from identity.sessions.session_store import LEASE, Session, SessionKind, SessionRows
from identity.sessions.signed_requests import Body, Call, PdsCalls
from identity.sessions.tokens import Tokens

logger = logging.getLogger("mastertape.identity")

T = TypeVar("T")

LOGIN_SHARE: Final = 0.5
"""How much of a request's time its login may take: the rest is the PDS's, and so is only what is slow in it."""
OVERTAKEN_TIMES: Final = 3
"""How often another process may have refreshed between our refresh and our request."""
REFRESH_BEFORE: Final = timedelta(seconds=60)
STALE_TOKEN: Final = frozenset({"ExpiredToken", "InvalidToken", "AuthMissing", "invalid_token"})
FINISH_SECONDS: Final = 10.0
"""How long the end of a process waits for a database that is away: beside flights and requests, within a supervisor's patience."""
DISCONNECTED: Final = "disconnected"


class Grants(Protocol):
    """Who renews and gives back the sessions of one kind."""

    async def renew(self, session: Session, tokens: Tokens) -> Tokens:
        """New tokens for old ones; raises SignInRequiredError or SessionUnavailableError."""
        ...

    async def revoke(self, session: Session, tokens: Tokens) -> None:
        """End the session at the PDS; raises the same."""
        ...


class PdsSessions:
    """One per event loop. `finish` before the loop ends: a refresh must not be abandoned."""

    def __init__(
        self,
        log: EventLog,
        seal: Seal,
        http: httpx.AsyncClient,
        *,
        on_reauth: Callable[[Connection, str], None],
        on_signed_in: Callable[[Connection, str, str], None],
        oauth: Grants | None = None,
        on_refresh: Callable[[str], None] = lambda _outcome: None,
        lease: timedelta = LEASE,
    ) -> None:
        self._log = log
        self._rows = SessionRows(
            log.database, seal, on_reauth=on_reauth, on_signed_in=on_signed_in, lease=lease
        )
        self._writes = PatientWrites()
        self._calls = PdsCalls(http)
        self._on_refresh = on_refresh
        self._grants: dict[SessionKind, Grants] = {SessionKind.APP_PASSWORD: AppPasswordGrants(http)}
        if oauth is not None:
            self._grants[SessionKind.OAUTH] = oauth
        self._owner = uuid.uuid4().hex
        self._refreshes: dict[tuple[str, int], asyncio.Task[Session]] = {}
        self._disconnects: set[asyncio.Task[bool]] = set()
        self._renewing: set[str] = set()
        self._ending = asyncio.Event()

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
        pds_url: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> httpx.Response:
        """Send one request, again only if the PDS refused the token before looking at anything else.

        Raises `SignInRequiredError`, `SessionUnavailableError`, also where the login was not ready in time, or what
        httpx raises for the request itself.
        `body` is called once for each time of sending. With a `pds_url` it is sent there or nowhere: what was
        meant for one PDS is not for another that the account moved to meanwhile.
        """
        call = Call(method, nsid, timeout, params=params, json=json, body=body, headers=headers)
        until = asyncio.get_running_loop().time() + timeout * LOGIN_SHARE
        session = await self._ready(did, until, asyncio.to_thread(self._rows.load, did))
        if session.expires_within(REFRESH_BEFORE):
            session = await self._ready(did, until, self.refresh(did, session.generation))

        async def send(session: Session) -> httpx.Response:
            if pds_url not in {None, session.pds_url}:
                raise SignInRequiredError(did, "session_at_another_pds")
            return await self._calls.send(session, self._open(session), call)

        reply = await send(session)
        if error_name(reply) in STALE_TOKEN:
            session = await self._ready(did, until, self.refresh(did, session.generation))
            reply = await send(session)
        for _ in range(OVERTAKEN_TIMES):
            if error_name(reply) not in STALE_TOKEN:
                break
            newest = await self._ready(did, until, asyncio.to_thread(self._rows.load, did))
            if newest.generation == session.generation:
                if not newest.refreshing:
                    break
                # OAuth tokens die when the next ones are made, which is before these are stored
                newest = await self._ready(did, until, self.refresh(did, session.generation))
            session, reply = newest, await send(newest)
        return reply

    async def _ready(self, did: str, until: float, login: Awaitable[T]) -> T:
        """Wait for the login until then: nothing was sent, and only who has been asked for a renewal is slow."""
        try:
            async with asyncio.timeout_at(until):
                return await login
        except TimeoutError:
            asked = httpx.ReadTimeout("no answer") if did in self._renewing else None
            reason = "the login was not ready in time, and nothing was sent"
            raise SessionUnavailableError(did, reason, cause=asked) from None

    async def refresh(self, did: str, seen_generation: int) -> Session:
        """A session newer than `seen_generation`. A cancelled caller leaves; the refresh goes on."""
        key = did, seen_generation
        task = self._refreshes.get(key)
        if task is None:
            task = asyncio.create_task(self._refresh(did, seen_generation))
            self._refreshes[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    async def refresh_idle(self, since: timedelta, *, at_once: int) -> tuple[int, int]:
        """Refresh what has not been for that long, since a PDS ends what is not used; how many did and didn't."""
        turn = asyncio.Semaphore(at_once)

        async def one(did: str) -> None:
            async with turn:
                session = await asyncio.to_thread(self._rows.load, did)
                await self.refresh(did, session.generation)

        idle = await asyncio.to_thread(self._rows.idle_since, since)
        random.shuffle(idle)  # those of a dead PDS are not to be first every time
        done = await asyncio.gather(*map(one, idle), return_exceptions=True)
        failed = [each for each in done if each is not None]
        for each in failed:
            if not isinstance(each, SignInRequiredError | SessionUnavailableError):
                raise each
        return len(idle) - len(failed), len(failed)

    async def disconnect(self, did: str, envelope: Envelope) -> bool:
        """End the session here, for good, and say whether its PDS has confirmed the end there."""
        task = asyncio.create_task(self._disconnect(did, envelope))
        self._disconnects.add(task)
        task.add_done_callback(self._disconnects.discard)
        return await asyncio.shield(task)

    async def finish(self, *, patience: float = FINISH_SECONDS) -> None:
        """Wait for the refreshes under way; each is bounded, and for the database they wait only so long from now on.

        None begins any more: who waits for another process's refresh has spent no token, and leaves at once.
        """
        self._ending.set()
        self._writes.give_up_in(patience)
        await asyncio.gather(*self._refreshes.values(), *self._disconnects, return_exceptions=True)

    def _forget(self, key: tuple[str, int], done: "asyncio.Task[Session]") -> None:
        del self._refreshes[key]
        if not done.cancelled():
            done.exception()  # seen, also when every caller has left

    async def _refresh(self, did: str, seen_generation: int) -> Session:
        session, ours = await self._claimed(did, lambda session: session.generation == seen_generation)
        return await self._renew(session) if ours else session

    async def _claimed(self, did: str, wanted: Callable[[Session], bool]) -> tuple[Session, bool]:
        """Take the refresh lease of the session, or give the one that is no more wanted."""
        clock = asyncio.get_running_loop().time
        give_up, pause = clock() + 2 * self._rows.lease.total_seconds(), 0.02
        while True:
            session = await asyncio.to_thread(self._rows.load, did)
            if not wanted(session):
                return session, False
            if self._ending.is_set():
                raise SessionUnavailableError(did, "this process is ending; nothing was renewed")
            if not session.refreshing and await asyncio.to_thread(
                self._rows.claim, did, session.generation, self._owner
            ):
                return session, True
            if clock() >= give_up:
                raise SessionUnavailableError(did, "another process has been refreshing for too long")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):  # noqa: S311
                    await self._ending.wait()
            pause = min(pause * 2, 0.5)

    async def _renew(self, session: Session) -> Session:
        did, generation = session.did, session.generation
        try:
            new = await self._renewed(session)
        except SignInRequiredError as error:
            self._tell(session, "ended", error.reason)
            await asyncio.to_thread(self._rows.end, did, generation, error.reason)
            # a sign-in that came in the meantime is as good as a refresh
            return await asyncio.to_thread(self._rows.load, did)
        except SessionUnavailableError as error:
            self._tell(session, "failed", str(error))
            await asyncio.to_thread(self._rows.release, did, generation, self._owner, str(error))
            raise
        await self._store(session, new)
        self._tell(session, "renewed")
        return await asyncio.to_thread(self._rows.load, did)

    async def _renewed(self, session: Session) -> Tokens:
        self._renewing.add(session.did)
        try:
            return await self._of_kind(session).renew(session, self._open(session))
        finally:
            self._renewing.discard(session.did)

    async def _store(self, session: Session, new: Tokens) -> None:
        """Keep the new tokens, for the old ones are spent; what a commit without an answer has stored stands."""
        did, generation = session.did, session.generation
        try:
            await self._writes.write(
                lambda: self._rows.store(did, generation, new), did=did, host=session.pds_url
            )
        except Exception as error:
            self._tell(session, "lost", f"the new tokens could not be stored: {type(error).__name__}")
            raise

    def _tell(self, session: Session, outcome: str, reason: str | None = None) -> None:
        """Log and count how a refresh ended."""
        facts = {"did": session.did, "host": session.pds_url, "generation": session.generation}
        logger.log(
            logging.INFO if reason is None else logging.WARNING,
            "session_refresh",
            extra={**facts, "outcome": outcome, "reason": reason},
        )
        self._on_refresh(outcome)

    async def _disconnect(self, did: str, envelope: Envelope) -> bool:
        try:
            # under the lease: nobody renews what is being given back
            session, _ = await self._claimed(did, lambda _: True)
        except SignInRequiredError:
            return True
        try:
            await self._of_kind(session).revoke(session, self._open(session))
            revoked = True
        except SignInRequiredError:
            revoked = True
        except SessionUnavailableError:
            revoked = False
        # the tokens go in any case: what the PDS still honours, nobody has any more
        end = partial(self._end, did=did, generation=session.generation, revoked=revoked)
        await self._writes.write(
            lambda: self._log.transact(did, envelope, end), did=did, host=session.pds_url
        )
        return revoked

    def _end(self, unit: UnitOfWork, *, did: str, generation: int, revoked: bool) -> None:
        if self._rows.end_in(unit.connection, did, generation, DISCONNECTED):
            account = account_of(unit)
            account.disconnect(revoked=revoked, at=unit.now)
            unit.save(account)

    def _of_kind(self, session: Session) -> Grants:
        if session.kind not in self._grants:
            raise SessionUnavailableError(session.did, f"sessions of kind {session.kind} are not kept here")
        return self._grants[session.kind]

    def _open(self, session: Session) -> Tokens:
        try:
            return self._rows.tokens(session)
        except SealBrokenError as error:
            # the tokens may be good: an operator can put the key back, or the person signs in again
            logger.error("login_does_not_open", extra={"did": session.did, "host": session.pds_url})  # noqa: TRY400
            raise SessionUnavailableError(session.did, f"its tokens do not open: {error}") from None
