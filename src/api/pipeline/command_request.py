"""Commands of an account: idempotent requests that run a use case in one unit of work.

1. begin: hold the key, look for an earlier result, read the body
2. the router parses the body, stores media, and makes public what it publishes, unless this is a repetition
3. commit: one unit of work runs the use case and keeps the result
4. response: wait for the PDS as the caller prefers
"""

import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from aggregates.published import Owned, Subject
from aggregates.values import Audio
from api.auth.authentication import refuse_ended, refused_if_ended, remembered_writer
from api.json_response import response_of
from api.middleware.http_layer import over_http
from api.openapi import refuses
from api.pipeline.idempotent_request import MAX_KEPT_CHARACTERS, Attempt, IdempotentRequest
from api.pipeline.media_intake import MediaIntake, PublicCopy
from api.requests.body import Body, received_body
from api.requests.parameters import versions_of, wait_of
from api.responses.reader import SubjectReader
from api.services import Services
from application.errors import LeavingError
from application.subjects import On, S, require_owned, require_staying
from eventstore.coordination.commit_signals import awaited
from eventstore.event_log import EventLog
from eventstore.idempotency import CommandResult, KeyLock, StoredResult
from eventstore.streams.buckets import bucket_of
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import AccountState
from identity.accounts.credentials import IS_USABLE, Principal
from identity.errors import CredentialExpiredError
from storage.media import Reserved

UseCase = Callable[[UnitOfWork], Owned]
"""Runs a command in a unit of work; returns what it is about."""
Respond = Callable[[SubjectReader, Subject], CommandResult]
"""Builds the result from the state of what the command is about."""


class CommandAttempt(Attempt):
    """One attempt at a command; `commit` or an earlier attempt sets its result."""

    def __init__(
        self,
        command: "CommandRequest",
        body: Body,
        lock: KeyLock | None,
        stored: StoredResult | None,
        public_copy: PublicCopy,
        *,
        allow_leaving: bool,
        wait_seconds: int,
    ) -> None:
        super().__init__(command, body, lock, stored)
        self._command: Final = command
        self._allow_leaving: Final = allow_leaving
        self._wait_seconds: Final = wait_seconds
        self._public_copy: Final = public_copy
        self.reserved: Final = Reserved(self._services.media)
        self._answered: tuple[Respond, Subject, int] | None = None

    async def publish(self, audio: Audio) -> None:
        """Make a public copy of stored audio, where the store has such copies; without a commit it is dropped."""
        if self._services.publisher is not None:
            # the copy is there before the unit
            await refuse_ended(self._command.request, self._services, allow_leaving=self._allow_leaving)
            await self._public_copy.make(audio)

    async def publish_if(self, publication: Callable[[EventLog, sa.Connection], Audio | None]) -> None:
        """Make a public copy of the audio that the command will make public, if it finds any."""
        if self._services.publisher is None:
            return

        def decide() -> Audio | None:
            with self._services.database.read() as connection:
                return publication(self._services.log, connection)

        if (audio := await run_in_threadpool(decide)) is not None:
            await self.publish(audio)

    async def commit(
        self,
        use_case: UseCase,
        respond: Respond,
        named: Collection[str] = (),
        *,
        is_long: bool = False,
    ) -> None:
        """Run the use case in one unit of work, in the account's turn, and keep the result in it.

        `named` are bytes that the command is known to name: they are reserved before. A result that `is_long` is made
        only by `response`, after the wait, where the caller waits.
        """
        await self.run(self._transact, use_case, respond, named, is_long=is_long)

    async def response(self, *, waits: bool = True, for_all: bool = False) -> Response:
        """Wait for the PDS as long as the caller prefers, and answer with the state after it.

        It is waited for until it has this generation of the record or, `for_all`, until nothing is left to do for it, its audio and
        its earlier place included; or until only a person can help. No thread and no connection is held meanwhile.
        """
        if not waits or self._answered is None or not self._wait_seconds:
            return response_of(self.result)
        respond, subject, generation = self._answered
        awaited_generation = None if for_all else generation
        await self._services.waits.wait(self._did, subject, awaited_generation, self._wait_seconds)

        def read() -> CommandResult:
            with self._services.database.read() as connection:
                return respond(SubjectReader(self._services, self._did, lambda: connection), subject)

        result = await run_in_threadpool(read)
        is_preferred = self._command.preferred_wait_seconds is not None
        return response_of(
            result, {"Preference-Applied": f"wait={self._wait_seconds}"} if is_preferred else None
        )

    def _transact(
        self, use_case: UseCase, respond: Respond, named: Collection[str], *, is_long: bool
    ) -> None:
        lock, services = self._lock, self._services
        is_shown_later = is_long and lock is None and bool(self._command.preferred_wait_seconds)
        self.reserved.reserve(named)
        awaited.set(self._wait_seconds > 0)

        def work(unit: UnitOfWork) -> Callable[[], None]:
            if lock is not None and (stored := lock.key.stored_in(unit)):
                return partial(self._repeat, stored)  # another process was first
            caller = self._command.principal
            token = {"did": caller.did, "credential_id": caller.credential_id}
            if not unit.finds(IS_USABLE.query(**token, now=unit.now), expected=True):
                raise CredentialExpiredError  # since it was authenticated
            if not self._allow_leaving:
                require_staying(unit)  # account deletion may have begun since the caller was authenticated
            services.event_budget.limit(unit)
            reader = SubjectReader(services, self._did, lambda: unit.connection, unit)
            if self._wait_seconds:
                services.claim_with(unit)
            subject = Subject.of(use_case(unit))
            self._public_copy.require_kept(unit)
            unit.after_commit(partial(services.wake, bucket_of(self._did)))
            if lock is None and unit.is_unsent:
                return partial(self._answer, reader, respond, subject)
            result = None if is_shown_later else respond(reader, subject)
            if lock is not None and result is not None:
                lock.keep_result(unit, self._digest, _without_large_conflict(result))
            generation = reader.mirror(subject).generation if self._wait_seconds else 0
            return partial(self._keep_answer, result, respond, subject, generation)

        self.reserved.run(partial(services.log.transact, self._did, over_http(self._did), work))()

    def _answer(self, reader: SubjectReader, respond: Respond, subject: Subject) -> None:
        """Answer what was committed from what was read with it."""
        with reader.after_commit():
            generation = reader.mirror(subject).generation if self._wait_seconds else 0
            self._keep_answer(respond(reader, subject), respond, subject, generation)

    def _keep_answer(
        self, result: CommandResult | None, respond: Respond, subject: Subject, generation: int
    ) -> None:
        self._result, self._answered = result, (respond, subject, generation)


def _without_large_conflict(result: CommandResult) -> CommandResult:
    """What a repetition gets leaves out a large version of another client, which GET of the mirror shows: the account chooses its size and the number of keys."""
    fields = result.fields
    if not fields.get("conflict") or len(json.dumps(fields)) <= MAX_KEPT_CHARACTERS:
        return result
    return replace(result, body={**fields, "conflict": None})


class CommandRequest(IdempotentRequest):
    """A request that may change a track of the caller's, or another of its subjects."""

    def __init__(self, request: Request, services: Services, principal: Principal) -> None:
        super().__init__(request, services, principal)
        self.intake: Final[MediaIntake] = request.app.state.media_intake
        self._uploads: Final = request.app.state.uploads
        self.versions: Final = versions_of(request.headers.get("if-match"))
        self.preferred_wait_seconds: Final = wait_of(request.headers.getlist("prefer"))

    def on(self, aggregate: type[S], subject_id: int) -> On[S]:
        return On(aggregate, subject_id, self.versions)

    @asynccontextmanager
    async def begin(
        self,
        *,
        on: On[Any] | None = None,
        allow_deleted: bool = False,
        allow_leaving: bool = False,
        files: Mapping[str, int] | None = None,
        is_upload: bool = False,
        default_wait_seconds: int = 0,
    ) -> AsyncGenerator[CommandAttempt]:
        """Hold the key and the body for as long as the block, for a command `on` a subject of the caller's.

        `files` names the file parts of the body, each with its limit in bytes. An upload counts against the account's
        limits before its body is read; any other command with a file does so then. `default_wait_seconds` is how long the response waits for the PDS where the caller prefers nothing.
        """
        services, preferred = self.services, self.preferred_wait_seconds
        async with (
            refused_if_ended(self.request, services, allow_leaving=allow_leaving),
            self.locked() as lock,
        ):
            with ExitStack() as counted:
                if is_upload:
                    counted.enter_context(self._uploads.of(self.principal.did))
                stored = await self._check(lock, on, allow_deleted, allow_leaving)
                async with (
                    received_body(self.request, services, files or {}) as body,
                    aclosing(PublicCopy(services.publisher, services.media_threads)) as copy,
                ):
                    if body.files and not is_upload:
                        if services.rate_limits is not None:
                            services.rate_limits.take_upload(self.request, self.principal.did)
                        counted.enter_context(self._uploads.of(self.principal.did))
                    seconds = default_wait_seconds if preferred is None else preferred
                    yield CommandAttempt(
                        self, body, lock, stored, copy, allow_leaving=allow_leaving, wait_seconds=seconds
                    )

    async def answer(
        self, use_case: UseCase, respond: Respond, *, on: On[Any] | None = None, allow_deleted: bool = False
    ) -> Response:
        """Answer a command that takes nothing from the body; one `on` a subject may be given by an account that leaves."""
        leaves = on is not None
        async with self.begin(on=on, allow_deleted=allow_deleted, allow_leaving=leaves) as attempt:
            if not attempt.is_repetition:
                await attempt.commit(use_case, respond)
        return await attempt.response()

    async def _check(
        self, lock: KeyLock | None, on: On[Any] | None, allow_deleted: bool, allow_leaving: bool
    ) -> StoredResult | None:
        """Find an earlier result, whatever state the subject is in now; else refuse before the body is read.

        The unit of work checks the newest state again, so what this process knows of a subject is enough to go on.
        """
        is_refused = self.principal.state is AccountState.LEAVING and not allow_leaving
        log, did = self.services.log, self.principal.did
        known = log.cache.get(on.subject.stream_id) if on is not None else None
        is_known = on is not None and known is not None and on.accepts(known.state, did)
        if lock is None and not is_refused and (on is None or is_known):
            return None

        def read_and_check() -> StoredResult | None:
            with self.services.database.read_committed() as connection:
                if lock is not None and (stored := lock.stored()) is not None:
                    return stored
                if is_refused:
                    raise LeavingError
                if on is not None:
                    on.require_version(require_owned(log, connection, did, on, deleted_too=allow_deleted))
            return None

        return await run_in_threadpool(read_and_check)


@refuses(400, 401, 403, 404, 409, 412, 413, 415, 429, 503)
async def command_request(request: Request) -> CommandRequest:
    # called, not depended on: FastAPI takes longer to solve them than they take themselves
    services: Services = request.app.state.services
    return CommandRequest(request, services, await remembered_writer(request, services))


Command = Annotated[CommandRequest, Depends(command_request)]
