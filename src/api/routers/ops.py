"""What operators see and do: lanes, hosts, records that fail. For admins, whose every action is written down."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.bodies.strict_route import StrictRoute
from api.caller import Admin, Parts
from api.documented import errors
from api.json_response import AsciiJsonResponse
from api.ops_bodies import (
    FailuresBody,
    HostsBody,
    LanesBody,
    Name,
    OperatedBody,
    OperationBody,
    failure_row,
    host_rows,
    lane_rows,
)
from api.paging import USUAL_PAGE, cursor_of, limit_of
from api.request_id import over_http
from api.services import Services
from identity.credentials import Principal
from outbox import overview
from outbox.failures import failing
from outbox.operators import Operator, Which, count, perform

router = APIRouter(tags=["operations"], route_class=StrictRoute)

READ_ERRORS = errors(400, 401, 403, 422, 503)
ACT_ERRORS = errors(400, 401, 403, 404, 422, 503)


class HostsQuery(BaseModel):
    """Which part of the hosts."""

    cursor: Name = ""
    limit: int = USUAL_PAGE


class LanesQuery(HostsQuery):
    """Which lanes."""

    host: Name | None = None
    state: Name | None = None


class FailuresQuery(BaseModel):
    """Which failures."""

    did: Name | None = None
    host: Name | None = None
    error: Name | None = None
    state: Name | None = None
    cursor: str | None = None
    limit: int = USUAL_PAGE


@router.get("/ops/lanes", response_model=LanesBody, responses=READ_ERRORS)
def read_lanes(_admin: Admin, parts: Parts, wanted: Annotated[LanesQuery, Query()]) -> Response:
    """Read the lanes of accounts: their state, and how many records wait in which state."""
    limit = limit_of(wanted.limit)
    with parts.database.read() as connection:
        rows = overview.lanes(
            connection, at=wanted.host, state=wanted.state, after=wanted.cursor, limit=limit + 1
        )
        items = lane_rows(connection, list(rows[:limit]), parts.database.now(connection))
    return _json(LanesBody(items=items, cursor=_cursor(rows, limit, "did")))


@router.get("/ops/hosts", response_model=HostsBody, responses=READ_ERRORS)
def read_hosts(_admin: Admin, parts: Parts, wanted: Annotated[HostsQuery, Query()]) -> Response:
    """Read the state of the PDS hosts: breaker, limits, lanes, and when their backlog will be delivered."""
    limit = limit_of(wanted.limit)
    with parts.database.read() as connection:
        rows = overview.hosts(connection, after=wanted.cursor, limit=limit + 1)
        items = host_rows(connection, list(rows[:limit]), parts.database.now(connection))
    return _json(HostsBody(items=items, cursor=_cursor(rows, limit, "host")))


@router.get("/ops/failures", response_model=FailuresBody, responses=READ_ERRORS)
def read_failures(_admin: Admin, parts: Parts, wanted: Annotated[FailuresQuery, Query()]) -> Response:
    """Read which records fail to reach their PDS, and why: rejected, failing, held, detached."""
    limit, after = limit_of(wanted.limit), cursor_of(wanted.cursor) or 0
    which = wanted.model_dump(include={"did", "host", "error", "state"})
    with parts.database.read() as connection:
        rows = connection.execute(failing(**which, after=after, limit=limit + 1)).all()
    items = [failure_row(row) for row in rows[:limit]]
    return _json(FailuresBody(items=items, cursor=_cursor(rows, limit, "place")))


@router.post("/ops/lanes", response_model=OperatedBody, responses=ACT_ERRORS)
def act_on_lanes(admin: Admin, parts: Parts, wanted: OperationBody) -> Response:
    """Pause, resume, probe or redrive an account; with dry_run only count."""
    return _operate(admin, parts, wanted)


@router.post("/ops/hosts", response_model=OperatedBody, responses=ACT_ERRORS)
def act_on_hosts(admin: Admin, parts: Parts, wanted: OperationBody) -> Response:
    """Pause, resume, probe or redrive a whole host; with dry_run only count."""
    return _operate(admin, parts, wanted)


@router.post("/ops/failures", response_model=OperatedBody, responses=ACT_ERRORS)
def act_on_failures(admin: Admin, parts: Parts, wanted: OperationBody) -> Response:
    """Redrive failing records, optionally of one account, host or error, behind live work; with dry_run only count."""
    return _operate(admin, parts, wanted)


def _operate(admin: Principal, parts: Services, wanted: OperationBody) -> Response:
    which = Which(wanted.did, wanted.host, wanted.error)
    if wanted.dry_run:
        affected = count(parts.database, wanted.action, which)
    else:
        affected = perform(parts.log, wanted.action, which, Operator(over_http(admin.did), wanted.reason))
        parts.wake()
    return _json(OperatedBody(action=wanted.action, affected=affected, dry_run=wanted.dry_run))


def _cursor(rows: Sequence[Any], limit: int, name: str) -> str | None:
    return str(getattr(rows[limit - 1], name)) if len(rows) > limit else None


def _json(body: BaseModel) -> Response:
    return AsciiJsonResponse(body.model_dump(mode="json"))
