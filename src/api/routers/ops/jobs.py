"""The jobs of every kind: operators read them, admins have them tried again."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.json_response import MessageBody
from api.middleware.http_layer import over_http
from api.openapi import errors, fields_of, repeatable_errors
from api.pipeline.command_request import Idempotent, result_of
from api.requests.known_names import StrictRoute
from api.requests.parameters import JobId, Name, OneOf, PageLength, cursor_of, page_length
from api.responses.ops.repairs import JobsBody, job_row
from application.jobs import retry_job
from eventstore.idempotency.results import CommandResult
from eventstore.jobs import queue
from eventstore.jobs.table import JobState
from outbox.operations.operators import Operator

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class JobsQuery(BaseModel):
    """Which jobs."""

    kind: Name | None = Field(None, description="of this kind")
    state: Annotated[str, OneOf(tuple(JobState))] | None = Field(None, description="in this state")
    cursor: Name | None = Field(None, description="the `cursor` of the page before")
    limit: PageLength = None


class RetryBody(BaseModel):
    """Why to try again."""

    reason: Annotated[Name, StringConstraints(min_length=1)] = Field(description="why; the log keeps it")


@router.get("/ops/jobs", responses=errors(400, 401, 403, 422, 503))
def read_jobs(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[JobsQuery, Query()]
) -> JobsBody:
    """Read the jobs of all accounts, of every kind: what each works on, how far it is, and why it fails."""
    limit, before = page_length(wanted.limit), cursor_of(wanted.cursor)
    with services.database.read() as connection:
        found = queue.jobs(connection, kind=wanted.kind, state=wanted.state, before=before, limit=limit + 1)
    cursor = str(found[limit - 1]["id"]) if len(found) > limit else None
    return JobsBody(items=[job_row(row) for row in found[:limit]], cursor=cursor)


@router.post(
    "/ops/jobs/{job_id}/retry",
    response_model=MessageBody,
    responses=repeatable_errors(404),
    openapi_extra=fields_of(RetryBody),
)
async def retry(job_id: JobId, admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Begin a job anew that has failed, or try one at once that waits for its next attempt."""

    def begin_anew(wanted: RetryBody) -> CommandResult:
        retry_job(services.log, job_id, Operator(over_http(admin.did), wanted.reason))
        services.wake()
        return result_of(MessageBody(message="tried again"))

    return await request.perform(RetryBody, begin_anew)
