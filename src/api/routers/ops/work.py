"""The operators' first look: whether all is well, and what waits; the work in the background, its jobs, and repairs of accounts."""

from datetime import datetime
from importlib.metadata import version
from operator import attrgetter, itemgetter
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.json_response import MessageBody, Page, cut, result_of
from api.middleware.http_layer import over_http
from api.openapi import operation
from api.pipeline.idempotent_request import Idempotent
from api.requests.parameters import (
    JobId,
    Name,
    OneOf,
    PageQuery,
    RepairId,
    StrictRoute,
    cursor_of,
    page_length,
)
from api.responses.ops.repairs import (
    DecideRepairBody,
    JobRow,
    Reason,
    RepairAction,
    RepairBody,
    RepairRow,
    StartRepairBody,
    job_row,
    repair_body,
    repair_row,
)
from api.responses.ops.work import WaitRow, WorkBody, oldest_pending, wait_rows, work_body
from api.services import Services
from application.operators import apply_repair, cancel_repair, retry_job, start_repair
from eventstore.idempotency import CommandResult
from eventstore.jobs import views
from eventstore.jobs.table import JobState
from eventstore.sql.database import count_rows
from outbox.mirror.states import LaneState
from outbox.mirror.tables import lane
from outbox.operations.operators import Operator
from outbox.views.causes import failures_by_hour
from outbox.views.failures import by_state, unfinished_by_reason
from outbox.views.overview import NEEDS_LOOK
from replay.repair.jobs import repair_of, repairs

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class ReleaseBody(BaseModel):
    """The release of the process that answered, and since when that process runs."""

    version: str
    started_at: datetime


class OverviewBody(BaseModel):
    """What waits in all accounts, by the state of its mirror, and how often requests failed in the last day."""

    problem: str | None = Field(
        description="why the service cannot work, or may send nothing; null if all is well"
    )
    records: dict[str, int]
    accounts: dict[str, int] = Field(description="how many accounts those records are of, by the same states")
    waits: list[WaitRow] = Field(description="what waits for a person or, after a failure, to be tried again")
    ready_accounts: int = Field(description="accounts whose lane is ready and not paused")
    failing_hosts: int = Field(
        description="PDS hosts that fail, that acknowledged what is not there, or that an operator paused"
    )
    oldest_pending_at: datetime | None = Field(
        description="the time of the oldest change that waits only for the relay"
    )
    failures: list[int] = Field(
        description="requests that failed in each hour of the last day, the current hour last"
    )
    release: ReleaseBody


@router.get("/ops/overview")
def read_overview(_operator: OperatorDep, services: ServicesDep) -> OverviewBody:
    """Read whether all is well, what waits, and since when; and how often requests failed in each hour of the last day."""
    problem = services.not_ready_because() or services.silent_because()
    with services.database.read() as connection:
        now = services.database.now(connection)
        unfinished = unfinished_by_reason(connection)
        return OverviewBody(
            problem=problem,
            records=by_state(unfinished, "records"),
            accounts=by_state(unfinished, "accounts"),
            waits=wait_rows(connection, unfinished),
            ready_accounts=count_rows(connection, lane.state == LaneState.READY, ~lane.paused),
            failing_hosts=count_rows(connection, NEEDS_LOOK),
            oldest_pending_at=min(oldest_pending(connection).values(), default=None),
            failures=failures_by_hour(connection, now),
            release=ReleaseBody(version=version("mastertape"), started_at=services.started_at),
        )


@router.get("/ops/work")
def read_work(_operator: OperatorDep, services: ServicesDep) -> WorkBody:
    """Read how far read models, the scan and the firehose are, how many jobs there are, and what failed."""
    with services.database.read() as connection:
        return work_body(services, connection)


class JobsQuery(PageQuery):
    kind: Name | None = Field(None, description="of this kind")
    state: Annotated[str, OneOf(tuple(JobState))] | None = Field(None, description="in this state")


class RetryBody(BaseModel):
    reason: Reason


@router.get("/ops/jobs")
def read_jobs(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[JobsQuery, Query()]
) -> Page[JobRow]:
    """Read the jobs of all accounts, of every kind: what each works on, how far it is, and why it fails."""
    limit, before = page_length(wanted.limit), cursor_of(wanted.cursor)
    with services.database.read() as connection:
        found = views.jobs(connection, kind=wanted.kind, state=wanted.state, before=before, limit=limit + 1)
    rows, cursor = cut(found, limit, itemgetter("id"))
    return Page[JobRow](items=[job_row(row) for row in rows], cursor=cursor)


@router.post("/ops/jobs/{job_id}/retry", **operation(RetryBody, MessageBody))
async def retry(job_id: JobId, admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Begin a job anew that has failed, or try one at once that waits for its next attempt."""

    def begin_anew(wanted: RetryBody) -> CommandResult:
        retry_job(services.log, job_id, Operator(over_http(admin.did), wanted.reason))
        services.wake()
        return result_of(MessageBody(message="tried again"))

    return await request.perform(RetryBody, begin_anew)


class RepairsQuery(PageQuery):
    did: Name | None = Field(None, description="of this account")


@router.get("/ops/repairs")
def read_repairs(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[RepairsQuery, Query()]
) -> Page[RepairRow]:
    """Read the repairs of accounts, the newest first."""
    limit = page_length(wanted.limit)
    with services.database.read() as connection:
        found = repairs(connection, did=wanted.did, before=cursor_of(wanted.cursor), limit=limit + 1)
    rows, cursor = cut(found, limit, attrgetter("id"))
    return Page[RepairRow](items=[repair_row(row) for row in rows], cursor=cursor)


@router.get("/ops/repairs/{repair_id}")
def read_repair(_operator: OperatorDep, services: ServicesDep, repair_id: RepairId) -> RepairBody:
    """Read what a repair would change, how far it is, and what it skipped."""
    with services.database.read() as connection:
        return repair_body(connection, repair_of(connection, repair_id, whole=True))


@router.post("/ops/repairs", status_code=202, **operation(StartRepairBody, RepairRow))
async def plan_repair(admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Compare an account's records with the log, and plan what would make them agree; nothing is changed.

    It runs in the background, one repair per account: another start joins the unfinished one. Location says where to
    follow it.
    """

    def start(wanted: StartRepairBody) -> CommandResult:
        repair_id = start_repair(services.log, wanted.did, Operator(over_http(admin.did), wanted.reason))
        return _under_way(services, repair_id, Location=f"/ops/repairs/{repair_id}")

    return await request.perform(StartRepairBody, start)


@router.post("/ops/repairs/{repair_id}", status_code=202, **operation(DecideRepairBody, RepairRow))
async def decide_repair(
    repair_id: RepairId, admin: Admin, services: ServicesDep, request: Idempotent
) -> Response:
    """Apply the plan that was shown, by its digest, or cancel the repair. Records that have changed since are skipped and listed.

    It runs in the background, and the relay sends what it applies behind live work.
    """

    def decide(wanted: DecideRepairBody) -> CommandResult:
        operator = Operator(over_http(admin.did), wanted.reason)
        if wanted.action is RepairAction.CANCEL:
            cancel_repair(services.log, repair_id, operator)
        else:
            apply_repair(
                services.log, repair_id, operator, digest=wanted.digest, max_deletes=wanted.max_deletes
            )
        return _under_way(services, repair_id)

    return await request.perform(DecideRepairBody, decide)


def _under_way(services: Services, repair_id: int, **headers: str) -> CommandResult:
    services.wake()
    with services.database.read() as connection:
        return result_of(repair_row(repair_of(connection, repair_id)), 202, **headers)
