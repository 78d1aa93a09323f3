"""Requests of an account that happen once under an Idempotency-Key.

1. begin: hold the key, look for an earlier result, read the body
2. the router does the work, unless this is a repetition
3. finish: keep the result
"""

import json
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from hashlib import sha256
from inspect import isawaitable
from typing import Annotated, Final, ParamSpec, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn
from api.errors import UnparsableError
from api.json_response import response_of
from api.middleware.http_layer import over_http
from api.openapi import refuses
from api.requests.body import Body, fields_as, received_body
from api.services import Services
from eventstore.coordination.threads import Turns
from eventstore.errors import InProgressError
from eventstore.idempotency import CommandResult, KeyLock, RequestKey, StoredResult, key_lock
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Principal

MAX_KEPT_CHARACTERS: Final = 64 * 1024
"""Of a result that its work's own unit does not keep: a PDS decides how long the list of a comparison is."""
P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=BaseModel)

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
SAYING: Final = ("content-disposition", "upload-length", "upload-offset", "upload-complete")
"""Headers that say what is requested, of which file and at which place."""
MAX_ROUTE_CHARACTERS: Final = 255
"""A longer path is kept as its hash, as one with NUL is: PostgreSQL indexes neither."""

logger: Final = logging.getLogger("mastertape.api")


def request_key(did: str, request: Request) -> RequestKey | None:
    """Read the Idempotency-Key header; without it, every request is a new one."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    if KEY.fullmatch(header) is None:
        raise UnparsableError(
            "Idempotency-Key must be 1 to 255 visible ASCII characters. Nothing was changed."
        )
    path = request.url.path
    if len(path) > MAX_ROUTE_CHARACTERS or "\0" in path:
        path = sha256(path.encode()).hexdigest()
    return RequestKey(did, request.method, path, header)


class Attempt:
    """One attempt at a request. In a repetition, `result` is the first attempt's."""

    def __init__(
        self, request: "IdempotentRequest", body: Body, lock: KeyLock | None, stored: StoredResult | None
    ) -> None:
        self.body: Final = body
        self._turns: Final = request.turns
        headers = request.request.headers
        said = (f"{name}: {headers[name]}" for name in SAYING if name in headers)
        self._beside: Final = "\n".join(filter(None, [request.request.url.query, *said]))
        self.is_repetition = False
        self._result: CommandResult | None = None
        if stored is not None:
            self._repeat(stored)
        self._services: Final = request.services
        self._did: Final = request.principal.did
        self._lock: Final = lock
        self._is_kept = False

    def _repeat(self, stored: StoredResult) -> None:
        self._result, self.is_repetition = stored.for_digest(self._digest), True

    @property
    def result(self) -> CommandResult:
        assert self._result is not None  # noqa: S101 - routers read it after the work
        return self._result

    @property
    def _digest(self) -> str:
        """Identify what was requested: a query may say what to remove, headers where bytes go."""
        return self.body.digest(self._beside)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work of the account in a thread, in the account's turn: it takes one thread at a time.

        Other processes meet at the append lock.
        """
        async with self._turns.of(self._did):
            return await run_in_threadpool(work, *args, **kwargs)

    def keep_in(self, unit: UnitOfWork, result: CommandResult) -> None:
        """Keep what a repetition gets in the unit that does the work, so that it cannot be done twice."""
        if self._lock is None:
            return
        if self._lock.key.stored_in(unit) is not None:
            raise InProgressError  # another process was first; the next repetition gets its result
        self._lock.keep_result(unit, self._digest, result)
        self._is_kept = True

    async def finish(self, result: CommandResult) -> None:
        """Set the result, and keep it for repetitions unless the work's own unit did."""
        self._result = result
        if self._lock is not None and not self._is_kept:
            await self.run(self._keep, self._lock, result)

    def _keep(self, lock: KeyLock, result: CommandResult) -> None:
        """If this fails, or the result is large, a repetition does the work again, which has the same effect."""
        if len(json.dumps(result.fields)) > MAX_KEPT_CHARACTERS:
            return

        def keep(unit: UnitOfWork) -> None:
            if lock.key.stored_in(unit) is None:
                lock.keep_result(unit, self._digest, result)

        try:
            self._services.log.transact(self._did, over_http(self._did), keep)
        except Exception:
            logger.exception("answer_not_kept")


class IdempotentRequest:
    """A request whose work takes any number of units, or none."""

    def __init__(self, request: Request, services: Services, principal: Principal) -> None:
        self.services: Final = services
        self.principal: Final = principal
        self.turns: Final[Turns] = request.app.state.turns
        self.request: Final = request
        self._key: Final = request_key(principal.did, request)

    def locked(self) -> AbstractAsyncContextManager[KeyLock | None]:
        """Hold the key for as long as the block; raises InProgressError."""
        if self._key is None:
            return nullcontext()
        return key_lock(self.services.database, self._key, self.services.threads)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Attempt]:
        """Hold the key and the body for as long as the block; raises InProgressError."""
        async with self.locked() as lock:
            stored = await run_in_threadpool(lock.stored) if lock is not None else None
            async with received_body(self.request, self.services, {}) as body:
                yield Attempt(self, body, lock, stored)

    async def perform(
        self, fields: type[F], work: Callable[[F], CommandResult | Awaitable[CommandResult]]
    ) -> Response:
        """Answer with what the work makes of the body, once; it runs in a thread, what it returns to be awaited does not."""
        async with self.begin() as attempt:
            if not attempt.is_repetition:
                result = await run_in_threadpool(work, fields_as(fields, attempt.body))
                await attempt.finish(await result if isawaitable(result) else result)
        return response_of(attempt.result)


@refuses(400, 401, 403, 409, 413, 415, 503)
async def idempotent_request(
    request: Request, services: ServicesDep, principal: SignedIn
) -> IdempotentRequest:
    return IdempotentRequest(request, services, principal)


Idempotent = Annotated[IdempotentRequest, Depends(idempotent_request)]
