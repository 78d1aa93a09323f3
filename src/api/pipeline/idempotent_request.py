"""Requests that change something and are no command on a track: under an Idempotency-Key they happen once, too."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.pipeline.request_key import request_key
from api.requests.body import Body
from api.requests.parse import received
from eventstore.errors import InProgressError
from eventstore.idempotency.lock import KeyLock, key_lock
from eventstore.idempotency.results import CommandResult, RequestKey, StoredResult
from eventstore.unit_of_work import UnitOfWork

logger: Final = logging.getLogger("mastertape.api")


@dataclass
class Asked:
    """What was asked for, and the run under its key, if it has one."""

    body: Body
    run: KeyLock | None
    is_kept: bool = False

    def keep(self, unit: UnitOfWork, answer: CommandResult) -> None:
        """Keep this answer in the unit that does it: where it must not happen twice, or another answer is given then."""
        if self.run is None:
            return
        if self.run.key.stored(unit.connection, unit.now) is not None:
            raise InProgressError  # another process was first; who comes again is given its answer
        self.run.keep_result(unit, self.body.digest, answer)
        self.is_kept = True


Act = Callable[[Asked], Awaitable[CommandResult]]
"""Does it, and gives the answer that is kept."""
Wait = Callable[[], Awaitable[CommandResult]]


class RepeatableRequest:
    """One request of somebody who is signed in."""

    def __init__(self, request: Request, services: ServicesDep, principal: SignedIn) -> None:
        self._request = request
        self._parts = services
        self._did = principal.did
        self._key = request_key(principal.did, request)

    async def perform(
        self, act: Act, *, wait: Wait | None = None, afterwards: BackgroundTask | None = None
    ) -> Response:
        """Do it, unless it was done before; whoever is given a kept answer neither waits nor has more done."""
        async with key_lock(self._parts.database, self._key, self._parts.threads) as run:
            stored = await run_in_threadpool(self._stored, run.key) if run is not None else None
            async with received(self._request, self._parts.staging, {}) as body:
                if stored is not None:
                    return response_of(stored.for_digest(body.digest))
                asked = Asked(body, run)
                answer = await act(asked)
                if run is not None and not asked.is_kept:
                    await run_in_threadpool(self._keep, run, body.digest, answer)
        response = response_of(answer if wait is None else await wait())
        response.background = afterwards
        return response

    def _stored(self, key: RequestKey) -> StoredResult | None:
        with self._parts.database.read() as connection:
            return key.stored(connection, self._parts.database.now(connection))

    def _keep(self, run: KeyLock, digest: str, answer: CommandResult) -> None:
        """Keep the answer to what has been done, in whatever units; without it, a repeated request does it again."""

        def work(unit: UnitOfWork) -> None:
            if run.key.stored(unit.connection, unit.now) is None:
                run.keep_result(unit, digest, answer)

        try:
            self._parts.log.transact(self._did, over_http(self._did), work)
        except Exception:
            logger.exception("answer_not_kept")


Repeatable = Annotated[RepeatableRequest, Depends()]


def answer_of(body: BaseModel, status: int = 200, **headers: str) -> CommandResult:
    """Write an answer down."""
    return CommandResult(status, body.model_dump(mode="json"), headers)
