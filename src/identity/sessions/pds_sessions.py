"""Sends requests to a PDS on behalf of an account; one process at a time refreshes its tokens."""

import asyncio
import logging
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, Final, Protocol, TypeVar

import httpx
import sqlalchemy as sa

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from eventstore.change import Envelope
from eventstore.coordination.backoff import backoff
from eventstore.coordination.threads import Joint
from eventstore.errors import is_busy_or_away
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.errors import DecryptionError
from identity.resolution.http_responses import error_name
from identity.sessions import session_store
from identity.sessions.app_password_grants import AppPasswordGrants
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import Session, SessionKind, SessionRows, Tokens
from identity.sessions.signed_requests import Call, PdsCalls

FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 2.0
"""Once the database is back, the new tokens are stored before another process sends the old ones to the PDS."""

logger = logging.getLogger("mastertape.identity")

T = TypeVar("T")

LOGIN_TIME_SHARE: Final = 0.5
"""Share of a request's timeout that loading or refreshing the login may take; the rest is for the PDS."""
MAX_RELOADS: Final = 3
"""How many times one request reloads a session that another process has refreshed in between."""
REFRESH_BEFORE: Final = timedelta(seconds=60)
STALE_TOKEN_ERRORS: Final = frozenset({"ExpiredToken", "InvalidToken", "AuthMissing", "invalid_token"})
FINISH_TIMEOUT_SECONDS: Final = 10.0
"""How long a process that is ending waits for an unreachable database: less than a supervisor waits before it kills."""
DISCONNECTED: Final = "disconnected"


class Grants(Protocol):
    """Refreshes and revokes the sessions of one kind."""

    async def refresh(self, session: Session, tokens: Tokens) -> Tokens:
        """Exchange the tokens for new ones; raises SignInRequiredError or SessionUnavailableError."""
        ...

    async def revoke(self, session: Session, tokens: Tokens) -> None: ...


class PdsSessions:
    """One per event loop. Call `finish` before the loop ends: an abandoned refresh loses the new tokens."""

    def __init__(
        self,
        log: EventLog,
        cipher: Cipher,
        http: httpx.AsyncClient,
        *,
        on_reauth: Callable[[sa.Connection, str], None],
        on_signed_in: Callable[[sa.Connection, str, str], None],
        oauth: Grants | None = None,
        on_refresh: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        self._log = log
        self._rows = SessionRows(log.database, cipher, on_reauth=on_reauth, on_signed_in=on_signed_in)
        self._give_up_writing_at = math.inf
        self._calls = PdsCalls(http)
        self._on_refresh = on_refresh
        self._grants: dict[SessionKind, Grants] = {SessionKind.APP_PASSWORD: AppPasswordGrants(http)}
        if oauth is not None:
            self._grants[SessionKind.OAUTH] = oauth
        self._owner = uuid.uuid4().hex
        self._refreshes: Final = Joint[tuple[str, int], Session]()
        self._disconnects: Final = Joint[str, bool]()
        self._waiting_for_pds: set[str] = set()
        self._ending = asyncio.Event()

    def signed_in(
        self, connection: sa.Connection, *, did: str, kind: SessionKind, pds_url: str, tokens: Tokens
    ) -> None:
        """Store the tokens of a sign-in, inside its transaction, which must not have locked anything before."""
        self._rows.put(connection, did=did, kind=kind, pds_url=pds_url, tokens=tokens)

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        timeout: float = 30.0,
        host: str | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Send one `Call`; again only if the PDS refused the token, which it checks before anything else.

        With a `host` the request is sent to that PDS or not at all: the account may have moved to another host.

        Raises `SignInRequiredError`; `SessionUnavailableError`, also if the login was not ready in time; or what httpx
        raises for the request itself.
        """
        call = Call(method, nsid, timeout, **content)
        deadline = asyncio.get_running_loop().time() + timeout * LOGIN_TIME_SHARE
        session = await self._ready(did, deadline, asyncio.to_thread(self._rows.load, did))
        if session.expires_within(REFRESH_BEFORE):
            session = await self._ready(did, deadline, self.refresh(did, session.generation))

        async def send(session: Session) -> httpx.Response:
            if host not in {None, session.pds_url}:
                raise SignInRequiredError(did, "session_at_another_pds")
            return await self._calls.send(session, self._decrypted(session), call)

        reply = await send(session)
        for renewals in range(1 + MAX_RELOADS):
            if error_name(reply) not in STALE_TOKEN_ERRORS:
                break
            if renewals:
                newest = await self._ready(did, deadline, asyncio.to_thread(self._rows.load, did))
                # OAuth tokens become invalid when the next ones are issued, which is before those are stored
                if newest.generation == session.generation and not newest.refreshing:
                    break
            session = await self._ready(did, deadline, self.refresh(did, session.generation))
            reply = await send(session)
        return reply

    async def _ready(self, did: str, deadline: float, login: Awaitable[T]) -> T:
        """Wait for the login; a timeout counts against the PDS only while a refresh waits for its answer."""
        try:
            async with asyncio.timeout_at(deadline):
                return await login
        except TimeoutError:
            cause = httpx.ReadTimeout("no answer") if did in self._waiting_for_pds else None
            reason = "the login was not ready in time, and nothing was sent"
            raise SessionUnavailableError(did, reason, cause=cause) from None

    async def refresh(self, did: str, seen_generation: int) -> Session:
        """Return a session newer than `seen_generation`. The refresh continues if the caller is cancelled."""
        work = partial(self._refresh, did, seen_generation)
        return await self._refreshes.result((did, seen_generation), work)

    async def refresh_idle(self, since: timedelta, *, max_concurrent: int) -> tuple[int, int]:
        """Refresh sessions that were not refreshed for that long, since a PDS ends unused ones.

        Returns how many succeeded and how many failed.
        """
        semaphore = asyncio.Semaphore(max_concurrent)

        async def one(did: str) -> None:
            async with semaphore:
                session = await asyncio.to_thread(self._rows.load, did)
                await self.refresh(did, session.generation)

        idle = await asyncio.to_thread(self._rows.idle_since, since)
        random.shuffle(idle)  # so that the sessions of a dead PDS do not come first every time
        done = await asyncio.gather(*map(one, idle), return_exceptions=True)
        failed = [each for each in done if each is not None]
        for each in failed:
            if not isinstance(each, SignInRequiredError | SessionUnavailableError):
                raise each
        return len(idle) - len(failed), len(failed)

    async def disconnect(self, did: str, envelope: Envelope) -> bool:
        """End the session here; return whether its PDS confirmed the revocation."""
        return await self._disconnects.result(did, partial(self._disconnect, did, envelope))

    async def finish(self, *, timeout: float = FINISH_TIMEOUT_SECONDS) -> None:
        """Wait for the refreshes in progress, and at most `timeout` seconds for the database to store their tokens.

        No refresh begins any more: a refresh that still waits for another process's lease has spent no token, so it
        fails at once.
        """
        self._ending.set()
        self._give_up_writing_at = time.monotonic() + timeout
        await self._refreshes.settled()
        await self._disconnects.settled()

    async def _claimed(self, did: str, wanted: Callable[[Session], bool]) -> tuple[Session, bool]:
        """Take the refresh lease and return True with the session, or False once `wanted` is no longer true of it."""
        clock = asyncio.get_running_loop().time
        give_up, looks = clock() + 2 * session_store.REFRESH_LEASE_TTL.total_seconds(), 0
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
                async with asyncio.timeout(backoff(looks, first=0.02, cap=0.5).total_seconds()):
                    await self._ending.wait()
            looks += 1

    async def _refresh(self, did: str, generation: int) -> Session:
        session, ours = await self._claimed(did, lambda session: session.generation == generation)
        if not ours:
            return session
        self._waiting_for_pds.add(did)
        try:
            new = await self._grants_of(session).refresh(session, self._decrypted(session))
        except SignInRequiredError as error:
            self._report(session, "ended", error.reason)
            await asyncio.to_thread(self._rows.end, did, generation, error.reason)
            # a sign-in meanwhile serves as well as a refresh
            return await asyncio.to_thread(self._rows.load, did)
        except SessionUnavailableError as error:
            self._report(session, "failed", str(error))
            await asyncio.to_thread(self._rows.release, did, generation, self._owner, str(error))
            raise
        finally:
            self._waiting_for_pds.discard(did)
        # the old tokens are spent; a retry after a lost commit answer changes nothing
        store = partial(self._rows.store, did, generation, new)
        try:
            await self._write(session, store)
        except Exception as error:
            self._report(session, "lost", f"the new tokens could not be stored: {type(error).__name__}")
            raise
        self._report(session, "renewed")
        return await asyncio.to_thread(self._rows.load, did)

    def _report(self, session: Session, outcome: str, reason: str | None = None) -> None:
        facts = {"did": session.did, "host": session.pds_url, "generation": session.generation}
        logger.log(
            logging.INFO if reason is None else logging.WARNING,
            "session_refresh",
            extra={**facts, "outcome": outcome, "reason": reason},
        )
        self._on_refresh(outcome)

    async def _disconnect(self, did: str, envelope: Envelope) -> bool:
        try:
            # under the lease, so that no process refreshes a session that is being revoked
            session, _ = await self._claimed(did, lambda _: True)
        except SignInRequiredError:
            return True
        try:
            await self._grants_of(session).revoke(session, self._decrypted(session))
            revoked = True
        except SignInRequiredError:
            revoked = True
        except SessionUnavailableError:
            revoked = False
        # delete the tokens in any case: if the PDS still accepts them, no copy of them is left
        end = partial(self._end, did=did, generation=session.generation, revoked=revoked)
        await self._write(session, lambda: self._log.transact(did, envelope, end))
        return revoked

    async def _write(self, session: Session, work: Callable[[], object]) -> None:
        """Retry until the database accepts it or the process ends: a commit whose answer was lost may have happened."""
        for attempt in count(1):
            try:
                await asyncio.to_thread(work)
            except Exception as error:
                facts = {"did": session.did, "host": session.pds_url, "attempt": attempt}
                facts["error"] = type(error).__name__
                if not is_busy_or_away(error) or time.monotonic() >= self._give_up_writing_at:
                    logger.error("not_written", extra=facts)  # noqa: TRY400 - its text may contain the tokens
                    raise
                level = logging.WARNING if attempt == 1 else logging.DEBUG
                logger.log(level, "not_written_yet", extra=facts)
            else:
                return
            pause = backoff(attempt - 1, first=FIRST_PAUSE_SECONDS, cap=MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause.total_seconds())

    def _end(self, unit: UnitOfWork, *, did: str, generation: int, revoked: bool) -> None:
        if self._rows.end_in(unit.connection, did, generation, DISCONNECTED):
            account = account_of(unit)
            account.disconnect(revoked=revoked, at=unit.now)
            unit.save(account)

    def _grants_of(self, session: Session) -> Grants:
        if session.kind not in self._grants:
            raise SessionUnavailableError(session.did, f"sessions of kind {session.kind} are not kept here")
        return self._grants[session.kind]

    def _decrypted(self, session: Session) -> Tokens:
        try:
            return self._rows.tokens(session)
        except DecryptionError as error:
            # the tokens may be valid: the operator can restore the key, or the account signs in again
            logger.error("login_does_not_open", extra={"did": session.did, "host": session.pds_url})  # noqa: TRY400
            raise SessionUnavailableError(session.did, f"its tokens cannot be decrypted: {error}") from None
