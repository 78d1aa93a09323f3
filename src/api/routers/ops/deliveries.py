"""Operators' views and actions on lanes, hosts and failing records. Operators read, admins act; each action is logged."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.json_response import Page, body_from, cut, result_of
from api.middleware.http_layer import over_http
from api.openapi import errors, operation
from api.pipeline.idempotent_request import Idempotent
from api.requests.parameters import Name, OneOf, PageQuery, StrictRoute, decoded_cursor, page_length
from api.responses.ops.deliveries import (
    FOLLOWS_RECORD,
    FOLLOWS_TIME,
    FailuresBody,
    HitRow,
    HostRow,
    LaneRow,
    OperatedBody,
    OperationBody,
    ProgressBody,
    cause_row,
    failure_rows,
    host_rows,
    lane_rows,
    parts_of,
    place_cursor,
    time_cursor,
)
from api.services import Services
from application import operators as use_cases
from eventstore.idempotency import CommandResult
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.tables import IS_FAILING, IS_OPEN_JOB, NEVER, blob_job, upload
from outbox.operations.operators import Action, Operator, Selector, count, progress_of, sent_at_once
from outbox.views import overview
from outbox.views.causes import causes
from outbox.views.failures import accounts_hit, failing, undelivered
from projections.tracks.queries import AUDIO_COPY_STATE, AudioCopyState
from projections.tracks.table import tracks

router = APIRouter(tags=["operations"], route_class=StrictRoute)

CAUSE: Final = "cause"
ACCOUNT: Final = "account"
LANE_STATES: Final = (
    *LaneState,
    MirrorReason.PAUSED,
    MirrorReason.RESTORED,
    MirrorReason.PDS_AWAY,
    MirrorReason.BACKOFF,
)
MAX_OPERATION_SECONDS: Final = 20.0
# Others have failed too, but their owner has deleted the track or gated its audio since.
_REFUSED_AUDIO: Final = (
    sa.select(upload.subject_id)
    .join_from(blob_job, tracks, sa.and_(tracks.c.did == upload.did, tracks.c.track_id == upload.subject_id))
    .where(upload.kind == Track.TOPIC, IS_FAILING, ~IS_OPEN_JOB, AUDIO_COPY_STATE == AudioCopyState.FAILED)
)
"""Selects the ids of tracks whose audio their PDS refused, from an index of what failed."""


class HostsQuery(PageQuery):
    host: Name | None = Field(None, description="only this one")
    failing: bool = Field(
        False,
        description="only those that fail, that acknowledged what is not there, or that an operator paused, the one that fails the longest first",
    )


class LanesQuery(PageQuery):
    did: Name | None = Field(None, description="of this account")
    host: Name | None = Field(None, description="at this PDS")
    state: Annotated[str, OneOf(LANE_STATES)] | None = Field(None, description="in this state")


class FailuresQuery(PageQuery):
    did: Name | None = Field(None, description="of this account")
    host: Name | None = Field(None, description="at this PDS")
    error: Name | None = Field(None, description="with this last error")
    state: Annotated[str, OneOf(tuple(MirrorState))] | None = Field(None, description="in this state")
    reason: Name | None = Field(None, description="for this reason")
    field: Name | None = Field(None, description="refused by a PDS that named this field of the record")
    cause: Name | None = Field(None, description="of this cause: its `id`")
    by: Annotated[str, OneOf((CAUSE, ACCOUNT))] | None = Field(
        None,
        description="`cause`: answer with `causes`, the one met last first; `account`: with the `accounts` of all undelivered records",
    )
    undelivered: bool = Field(
        False,
        description="every record that its PDS does not have as the log says, failed or not, and those whose audio it refused",
    )


class ProgressQuery(BaseModel):
    action: Action = Field(description="what was done")
    did: Name | None = Field(None, description="to this account")
    host: Name | None = Field(None, description="to the accounts of this PDS")
    cause: Name | None = Field(None, description="to records that failed for this cause, in a redrive")
    record: Name | None = Field(None, description="to this record, by its URI, in a redrive")


@router.get("/ops/lanes")
def read_lanes(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[LanesQuery, Query()]
) -> Page[LaneRow]:
    """Read the lanes of accounts: their state, and how many records wait in which state."""
    limit = page_length(wanted.limit)
    with services.database.read() as connection:
        found = overview.lanes(
            connection,
            did=wanted.did,
            at=wanted.host,
            state=wanted.state,
            after=decoded_cursor(wanted.cursor) or "",
            limit=limit + 1,
        )
        rows, cursor = cut(found, limit, attrgetter("did"))
        items = lane_rows(connection, rows, services.database.now(connection))
    return Page[LaneRow](items=items, cursor=cursor)


@router.get("/ops/hosts")
def read_hosts(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[HostsQuery, Query()]
) -> Page[HostRow]:
    """Read the state of the PDS hosts: breaker, limits, lanes, and when their backlog will be delivered."""
    limit = page_length(wanted.limit)
    with services.database.read() as connection:
        after = (
            parts_of(wanted.cursor, FOLLOWS_TIME, 2)
            if wanted.failing
            else ("", decoded_cursor(wanted.cursor) or "")
        )
        found = overview.hosts(
            connection, failing=wanted.failing, named=wanted.host, after=after, limit=limit + 1
        )
        rows, cursor = cut(
            found,
            limit,
            lambda row: time_cursor(row.failing_since or NEVER, row.host) if wanted.failing else row.host,
        )
        return Page[HostRow](
            items=host_rows(connection, rows, services.database.now(connection)), cursor=cursor
        )


@router.get("/ops/failures")
def read_failures(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[FailuresQuery, Query()]
) -> FailuresBody:
    """Read which records fail to reach their PDS, and why: rejected, failing, held, detached; or, by cause, why requests fail; or all that are undelivered."""
    limit = page_length(wanted.limit)
    if wanted.by == CAUSE:
        return _by_cause(services, wanted, limit)
    which = wanted.model_dump(include={"did", "host", "error", "state", "reason", "field", "cause"})
    if wanted.by == ACCOUNT:
        query = accounts_hit(
            _REFUSED_AUDIO, **which, after=decoded_cursor(wanted.cursor) or "", limit=limit + 1
        )
        with services.database.read() as connection:
            rows, cursor = cut(connection.execute(query).all(), limit, attrgetter("did"))
        return FailuresBody(accounts=[body_from(HitRow, row) for row in rows], cursor=cursor)
    after = parts_of(wanted.cursor, FOLLOWS_RECORD, 3)
    records: Callable[..., Any] = partial(undelivered, _REFUSED_AUDIO) if wanted.undelivered else failing
    with services.database.read() as connection:
        found = connection.execute(records(**which, after=after, limit=limit + 1)).all()
        rows, cursor = cut(found, limit, place_cursor)
        items = failure_rows(connection, rows, services.database.now(connection))
    return FailuresBody(items=items, cursor=cursor)


@router.get("/ops/progress", responses=errors(404))
def read_progress(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[ProgressQuery, Query()]
) -> ProgressBody:
    """Read how far an action has come: of a redrive, its records that have no answer yet, and those that failed again; of the others, accounts.

    Accounts wait after a resume or a retry while they have something to send, after a pause while their current record is sent, after a probe until
    they are found.
    """
    waiting, failing = progress_of(services.database, wanted.action, _selector(wanted))
    return ProgressBody(action=wanted.action, waiting=waiting, failing=failing)


def _by_cause(services: Services, wanted: FailuresQuery, limit: int) -> FailuresBody:
    for name in ("did", "state", "reason", "field"):
        if getattr(wanted, name) is not None:
            raise InvalidFieldError(name, "must be absent with `by`: a cause is of all accounts of a host")
    after = parts_of(wanted.cursor, FOLLOWS_TIME, 2)
    which = {"host": wanted.host, "error": wanted.error, "only": wanted.cause}
    with services.database.read() as connection:
        now = services.database.now(connection)
        found = causes(connection, now, **which, after=after, limit=limit + 1)
    rows, cursor = cut(found, limit, lambda cause: time_cursor(cause.row.last_seen_at, cause.row.id))
    return FailuresBody(causes=[cause_row(each) for each in rows], cursor=cursor)


def _selector(wanted: OperationBody | ProgressQuery, error: str | None = None) -> Selector:
    """Return whom it is for; what is done to a record is recorded in its account."""
    owner = (wanted.record or "").removeprefix("at://").partition("/")[0]
    return Selector(wanted.did or owner or None, wanted.host, error, wanted.cause, wanted.record)


@router.post("/ops/lanes", **operation(OperationBody, OperatedBody))
@router.post("/ops/hosts", **operation(OperationBody, OperatedBody))
@router.post("/ops/failures", **operation(OperationBody, OperatedBody))
async def act(admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Pause, resume, retry, probe or redrive an account, a host or failing records, or unfollow or follow a host; with dry_run only count.

    What a host that is unfollowed has shown of people without an account here is forgotten, and its firehose is not read until it is followed again.
    A redrive goes behind live work, and ends after 20 seconds: the rest is left to another request.
    """

    def operate(wanted: OperationBody) -> CommandResult:
        which, action = _selector(wanted, wanted.error), wanted.action
        at_once = sent_at_once(services.database, which) if action is Action.RESUME else None
        if wanted.dry_run:
            affected = count(services.database, action, which)
        else:
            operator, most = Operator(over_http(admin.did), wanted.reason), MAX_OPERATION_SECONDS
            affected = use_cases.operate(
                services.log, action, which, operator, expected=wanted.expected, max_seconds=most
            )
            services.wake()
        return result_of(
            OperatedBody(action=action, affected=affected, sent_at_once=at_once, dry_run=wanted.dry_run)
        )

    return await request.perform(OperationBody, operate)
