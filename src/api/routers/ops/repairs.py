"""Repairs of accounts: a plan is made in the background, shown, and applied as it was shown."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.middleware.http_layer import over_http
from api.openapi import errors, fields_of, repeatable_errors
from api.pipeline.command_request import Idempotent, result_of
from api.requests.parameters import Name, PageLength, RepairId, StrictRoute, cursor_of, page_length
from api.responses.ops.repairs import (
    DecideRepairBody,
    RepairAction,
    RepairBody,
    RepairRow,
    RepairsBody,
    StartRepairBody,
    repair_body,
    repair_row,
)
from api.services import Services
from application.errors import RepairNotFoundError
from application.jobs import apply_repair, cancel_repair, start_repair
from eventstore.idempotency.results import CommandResult
from outbox.operations.operators import Operator
from replay.repair.jobs import repair_of, repairs

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class RepairsQuery(BaseModel):
    """Which repairs."""

    did: Name | None = Field(None, description="of this account")
    cursor: Name | None = Field(None, description="the `cursor` of the page before")
    limit: PageLength = None


@router.get("/ops/repairs", responses=errors(400, 401, 403, 422, 503))
def read_repairs(
    _operator: OperatorDep, services: ServicesDep, wanted: Annotated[RepairsQuery, Query()]
) -> RepairsBody:
    """Read the repairs of accounts, the newest first."""
    limit = page_length(wanted.limit)
    with services.database.read() as connection:
        rows = repairs(connection, did=wanted.did, before=cursor_of(wanted.cursor), limit=limit + 1)
    cursor = str(rows[limit - 1].id) if len(rows) > limit else None
    return RepairsBody(items=[repair_row(row) for row in rows[:limit]], cursor=cursor)


@router.get("/ops/repairs/{repair_id}", responses=errors(401, 403, 404, 422, 503))
def read_repair(_operator: OperatorDep, services: ServicesDep, repair_id: RepairId) -> RepairBody:
    """Read what a repair would change, how far it is, and what it skipped."""
    with services.database.read() as connection:
        row = repair_of(connection, repair_id, whole=True)
        if row is None:
            raise RepairNotFoundError
        return repair_body(connection, row)


@router.post(
    "/ops/repairs",
    status_code=202,
    response_model=RepairRow,
    responses=repeatable_errors(404),
    openapi_extra=fields_of(StartRepairBody),
)
async def plan_repair(admin: Admin, services: ServicesDep, request: Idempotent) -> Response:
    """Compare an account's records with the log, and plan what would make them agree; nothing is changed.

    It runs in the background, one repair per account: another start joins the unfinished one. Location says where to
    follow it.
    """

    def start(wanted: StartRepairBody) -> CommandResult:
        repair_id = start_repair(services.log, wanted.did, Operator(over_http(admin.did), wanted.reason))
        return _under_way(services, repair_id, Location=f"/ops/repairs/{repair_id}")

    return await request.perform(StartRepairBody, start)


@router.post(
    "/ops/repairs/{repair_id}",
    status_code=202,
    response_model=RepairRow,
    responses=repeatable_errors(404),
    openapi_extra=fields_of(DecideRepairBody),
)
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
        row = repair_of(connection, repair_id)
    if row is None:
        raise RepairNotFoundError
    return result_of(repair_row(row), 202, **headers)
