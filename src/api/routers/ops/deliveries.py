"""Operators' views and actions on lanes, hosts and failing records. Operators read, admins act; each action is logged."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import errors, fields_of, repeatable_errors
from api.pipeline.idempotent_request import Idempotent, IdempotentRequest, result_of
from api.requests.body import fields_as
from api.requests.known_names import StrictRoute
from api.requests.parameters import Name, OneOf, PageLength, cursor_of, page_length
from api.responses.ops.deliveries import (
    FailuresBody,
    HostsBody,
    LanesBody,
    OperatedBody,
    OperationBody,
    ProgressBody,
    cause_row,
    failure_rows,
    host_rows,
    lane_rows,
    time_cursor,
    time_cursor_of,
)
from api.responses.uploads import REFUSED_AUDIO
from api.services import Services
from identity.accounts.credentials import Principal
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import NEVER
from outbox.operations.operators import Action, Operator, Selector, count, perform, sent_at_once
from outbox.operations.progress import progress_of
from outbox.views import overview
from outbox.views.causes import causes
from outbox.views.failures import Wanted, failing, undelivered

router = APIRouter(tags=["operations"], route_class=StrictRoute)

LANE_STATES: Final = (
    *LaneState,
    MirrorReason.PAUSED,
    MirrorReason.RESTORED,
    MirrorReason.PDS_AWAY,
    MirrorReason.BACKOFF,
)
READ_ERRORS: Final = errors(400, 401, 403, 422, 503)
MAX_OPERATION_SECONDS: Final = 20.0
OPERATION: Final[dict[str, Any]] = {
    "response_model": OperatedBody,
    "responses": repeatable_errors(404),
    "openapi_extra": fields_of(OperationBody),
}
"""Common to the three routes of bulk operations."""


class PageQuery(BaseModel):
    """After which name a page begins, and how long it is."""

    cursor: Name = Field("", description="the `cursor` of the page before")
    limit: PageLength = None


class HostsQuery(PageQuery):
    """Which hosts."""

    host: Name | None = Field(None, description="only this one")
    failing: bool = Field(
        False,
        description="only those that fail, or that an operator paused, the one that fails the longest first",
    )


class LanesQuery(PageQuery):
    """Which lanes."""

    host: Name | None = Field(None, description="at this PDS")
    state: Annotated[str, OneOf(LANE_STATES)] | None = Field(None, description="in this state")


class FailuresQuery(BaseModel):
    """Which failures."""

    did: Name | None = Field(None, description="of this account")
    host: Name | None = Field(None, description="at this PDS")
    error: Name | None = Field(None, description="with this last error")
    state: Annotated[str, OneOf(tuple(MirrorState))] | None = Field(None, description="in this state")
    cause: Name | None = Field(None, description="of this cause: its `id`")
    by: Annotated[str, OneOf(("cause",))] | None = Field(
        None, description="`cause`: answer with `causes`, the one met last first"
    )
    undelivered: bool = Field(
        False,
        description="every record that its PDS does not have as the log says, failed or not, and those whose audio it refused",
    )
    cursor: Name | None = Field(None, description="the `cursor` of the page before")
    limit: PageLength = None


class ProgressQuery(BaseModel):
    """An action, and what it was for."""

    action: Action = Field(description="what was done")
    did: Name | None = Field(None, description="to this account")
    host: Name | None = Field(None, description="to the accounts of this PDS")
    cause: Name | None = Field(None, description="to records that failed for this cause, in a redrive")


@router.get("/ops/lanes", responses=READ_ERRORS)
def read_lanes(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[LanesQuery, Query()]
) -> LanesBody:
    """Read the lanes of accounts: their state, and how many records wait in which state."""
    limit = page_length(wanted.limit)
    with services.database.read() as connection:
        rows = overview.lanes(
            connection, at=wanted.host, state=wanted.state, after=wanted.cursor, limit=limit + 1
        )
        items = lane_rows(connection, list(rows[:limit]), services.database.now(connection))
    return LanesBody(items=items, cursor=_cursor(rows, limit, "did"))


@router.get("/ops/hosts", responses=READ_ERRORS)
def read_hosts(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[HostsQuery, Query()]
) -> HostsBody:
    """Read the state of the PDS hosts: breaker, limits, lanes, and when their backlog will be delivered."""
    limit = page_length(wanted.limit)
    with services.database.read() as connection:
        rows, cursor = _hosts(connection, wanted, limit)
        items = host_rows(connection, rows, services.database.now(connection))
    return HostsBody(items=items, cursor=cursor)


@router.get("/ops/failures", responses=READ_ERRORS)
def read_failures(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[FailuresQuery, Query()]
) -> FailuresBody:
    """Read which records fail to reach their PDS, and why: rejected, failing, held, detached; or, by cause, why requests fail; or all that are undelivered."""
    limit = page_length(wanted.limit)
    if wanted.by is not None:
        return _by_cause(services, wanted, limit)
    after = cursor_of(wanted.cursor) or 0
    which = Wanted(wanted.did, wanted.host, wanted.error, wanted.state, wanted.cause)
    records: Callable[..., Any] = partial(undelivered, REFUSED_AUDIO) if wanted.undelivered else failing
    with services.database.read() as connection:
        rows = connection.execute(records(which, after=after, limit=limit + 1)).all()
        items = failure_rows(connection, rows[:limit], services.database.now(connection))
    return FailuresBody(items=items, cursor=_cursor(rows, limit, "place"))


@router.get("/ops/progress", responses={**READ_ERRORS, **errors(404)})
def read_progress(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[ProgressQuery, Query()]
) -> ProgressBody:
    """Read how far an action has come: of a redrive, its records that have no answer yet, and those that failed again; of the others, accounts.

    Accounts wait after a resume or a retry while they have something to send, after a pause while their current record is sent, after a probe until
    they are found.
    """
    found = progress_of(
        services.database, wanted.action, Selector(wanted.did, wanted.host, cause=wanted.cause)
    )
    return ProgressBody(action=wanted.action, waiting=found.waiting, failing=found.failing)


def _hosts(connection: Connection, wanted: HostsQuery, limit: int) -> tuple[list[Any], str | None]:
    if not wanted.failing:
        rows = overview.hosts(connection, named=wanted.host, after=wanted.cursor, limit=limit + 1)
        return list(rows[:limit]), _cursor(rows, limit, "host")
    after = time_cursor_of(wanted.cursor)
    failing = list(overview.failing_hosts(connection, named=wanted.host, after=after, limit=limit + 1))
    last = failing[limit - 1] if len(failing) > limit else None
    return failing[:limit], None if last is None else time_cursor(last.failing_since or NEVER, last.host)


def _by_cause(services: Services, wanted: FailuresQuery, limit: int) -> FailuresBody:
    for name in ("did", "state"):
        if getattr(wanted, name) is not None:
            raise InvalidFieldError(name, "must be absent with `by`: a cause is of all accounts of a host")
    after = time_cursor_of(wanted.cursor)
    which = {"host": wanted.host, "error": wanted.error, "only": wanted.cause}
    with services.database.read() as connection:
        now = services.database.now(connection)
        found = causes(connection, now, **which, after=after, limit=limit + 1)
    rows = [cause_row(each) for each in found[:limit]]
    cursor = time_cursor(rows[-1].last_seen_at, rows[-1].id) if len(found) > limit else None
    return FailuresBody(causes=rows, cursor=cursor)


@router.post("/ops/lanes", **OPERATION)
async def act_on_lanes(admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Pause, resume, retry, probe or redrive an account; with dry_run only count."""
    return await _operate(admin, services, request)


@router.post("/ops/hosts", **OPERATION)
async def act_on_hosts(admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Pause, resume, retry, probe or redrive a whole host; with dry_run only count."""
    return await _operate(admin, services, request)


@router.post("/ops/failures", **OPERATION)
async def act_on_failures(admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Redrive failing records, optionally of one account, host or error, behind live work; with dry_run only count.

    After 20 seconds the rest is left to another request.
    """
    return await _operate(admin, services, request)


async def _operate(admin: Principal, services: Services, request: IdempotentRequest) -> Response:
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            wanted = fields_as(OperationBody, attempt.body)
            at_once = await run_in_threadpool(_sent_at_once, services, wanted)
            affected = await run_in_threadpool(_affected, admin, services, wanted)
            body = OperatedBody(
                action=wanted.action, affected=affected, sent_at_once=at_once, dry_run=wanted.dry_run
            )
            await attempt.finish(result_of(body))
    return response_of(attempt.result)


def _affected(admin: Principal, services: Services, wanted: OperationBody) -> int:
    which = _selector(wanted)
    if wanted.dry_run:
        return count(services.database, wanted.action, which)
    operator = Operator(over_http(admin.did), wanted.reason)
    affected = perform(
        services.log,
        wanted.action,
        which,
        operator,
        expected=wanted.expected,
        max_seconds=MAX_OPERATION_SECONDS,
    )
    services.wake()
    return affected


def _sent_at_once(services: Services, wanted: OperationBody) -> int | None:
    return sent_at_once(services.database, _selector(wanted)) if wanted.action is Action.RESUME else None


def _selector(wanted: OperationBody) -> Selector:
    return Selector(wanted.did, wanted.host, wanted.error, wanted.cause)


def _cursor(rows: Sequence[Any], limit: int, name: str) -> str | None:
    return str(getattr(rows[limit - 1], name)) if len(rows) > limit else None
