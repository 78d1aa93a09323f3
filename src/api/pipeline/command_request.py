"""The way of every command: who asks, what was answered before, whose track, the body, one unit, the answer."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from fastapi import Depends, Request, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.pipeline.concurrency import AccountTurns
from api.pipeline.prefer_wait import wait_for_mirror
from api.pipeline.request_key import request_key
from api.requests.body import Body
from api.requests.parse import received
from api.requests.preconditions import versions_of, wait_of
from api.responses.read_tracks import mirror_of
from api.services import Services
from application.authorization import require_owned, require_staying, require_version
from application.errors import LeavingError
from eventstore.idempotency.lock import KeyLock, key_lock
from eventstore.idempotency.results import CommandResult, StoredResult
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Principal

Tell = Callable[[UnitOfWork], int]
"""Gives the command to the track; returns the track's id."""
Prepare = Callable[[Body], Awaitable[Tell]]
"""Checks all that can be checked, stores media, and only then gives what is to be told."""
Show = Callable[[Connection, int], CommandResult]
"""What the caller is answered, from the state as it is."""
Wait = Callable[[Services, int, int, float], Awaitable[None]]

NO_FILES: Final[Mapping[str, int]] = {}
ANYHOW: Final = nullcontext()


@dataclass(frozen=True)
class Performed:
    """An answer; with what could be waited for, unless it was given before."""

    answer: CommandResult
    track_id: int | None = None
    generation: int = 0


@dataclass(frozen=True)
class _Allowed:
    """Which track a command is about, and for whom and what else it may be."""

    on: int | None
    deleted_too: bool
    leaving_too: bool


class CommandRequest:
    """One request that may change something."""

    def __init__(self, request: Request, services: ServicesDep, principal: Writer) -> None:
        self.services: Final[Services] = services
        self.principal: Final[Principal] = principal
        self.versions: Final = versions_of(request.headers.get("if-match"))
        self._request = request
        self._turns: AccountTurns = request.app.state.turns
        self.wait: Final = wait_of(request.headers.getlist("prefer"))
        self._key = request_key(principal.did, request)

    async def perform(
        self,
        prepare: Prepare,
        show: Show,
        *,
        on: int | None = None,
        deleted_too: bool = False,
        leaving_too: bool = False,
        files: Mapping[str, int] = NO_FILES,
        within: AbstractContextManager[None] = ANYHOW,
        wait: Wait = wait_for_mirror,
        default_wait: int = 0,
    ) -> Response:
        """Do it, `on` a track of the caller's and `within` what it takes, and wait for the PDS where that is wanted."""
        seconds = default_wait if self.wait is None else self.wait
        async with key_lock(self.services.database, self._key, self.services.threads) as run:
            allowed = _Allowed(on, deleted_too, leaving_too)
            with within:
                performed = await self._once(run, prepare, show, allowed, files, waits=bool(seconds))
        if performed.track_id is None or not seconds:
            return response_of(performed.answer)
        await wait(self.services, performed.track_id, performed.generation, seconds)
        answer = await run_in_threadpool(self._read, show, performed.track_id)
        return response_of(answer, {"Preference-Applied": f"wait={seconds}"} if self.wait else {})

    async def _once(
        self,
        run: KeyLock | None,
        prepare: Prepare,
        show: Show,
        allowed: _Allowed,
        files: Mapping[str, int],
        *,
        waits: bool,
    ) -> Performed:
        stored = await run_in_threadpool(self._look_first, allowed)
        async with received(self._request, self.services.staging, files) as body:
            if stored is not None:
                return Performed(stored.for_digest(body.digest))
            tell = await prepare(body)
            async with self._turns.of(self.principal.did):
                transact = partial(self._transact, run, body.digest, tell, show, allowed, waits=waits)
                return await run_in_threadpool(transact)

    def _look_first(self, allowed: _Allowed) -> StoredResult | None:
        """A repeated request is answered as before, whatever has become of the track."""
        with self.services.database.read_committed() as connection:
            if self._key is not None:
                now = self.services.database.now(connection)
                if (stored := self._key.stored(connection, now)) is not None:
                    return stored
            if self.principal.leaving and not allowed.leaving_too:
                raise LeavingError
            if allowed.on is not None:
                view = require_owned(
                    connection, self.principal.did, allowed.on, deleted_too=allowed.deleted_too
                )
                require_version(view.visible_version, self.versions)  # before bytes are kept for nothing
        return None

    def _transact(
        self, run: KeyLock | None, digest: str, tell: Tell, show: Show, allowed: _Allowed, *, waits: bool
    ) -> Performed:
        def work(unit: UnitOfWork) -> Performed:
            if run is not None and (stored := run.key.stored(unit.connection, unit.now)):
                return Performed(stored.for_digest(digest))  # another process was first
            if not allowed.leaving_too:
                require_staying(unit)  # they may have begun to leave since they were asked who they are
            track_id = tell(unit)
            answer = show(unit.connection, track_id)
            if run is not None:
                run.keep_result(unit, digest, answer)
            unit.after_commit(self.services.wake)
            generation = mirror_of(unit.connection, track_id).generation if waits else 0
            return Performed(answer, track_id, generation)

        return self.services.log.transact(self.principal.did, over_http(self.principal.did), work)

    def _read(self, show: Show, track_id: int) -> CommandResult:
        with self.services.database.read() as connection:
            return show(connection, track_id)


Command = Annotated[CommandRequest, Depends()]
