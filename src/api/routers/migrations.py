"""Copying all of an account's audio to its PDS."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.bodies.receive import received
from api.caller import Parts, SignedIn, Writer
from api.commands.migrate_all import migrate_all
from api.documented import either, errors
from api.json_response import AsciiJsonResponse
from api.migration_report import MigrationBody, migration_report
from api.refusals import LeavingError
from api.request_id import over_http
from api.services import Services
from api.turns import Turns

router = APIRouter(tags=["records"])

HERE = "/me/migrate-to-pds"


@router.post(
    HERE,
    status_code=202,
    response_model=MigrationBody,
    responses=errors(400, 401, 403, 409, 413, 415, 422, 503),
    openapi_extra=either([], {}, retry_failed={"type": "boolean"}),
)
async def migrate_everything(request: Request, principal: Writer, parts: Parts) -> Response:
    """Request a copy on the PDS of all audio that may be there and is not, behind live work; a repeated request requests nothing twice.

    Audio that the PDS refused is requested again only with retry_failed. Location says where to follow it.
    """
    if principal.leaving:
        raise LeavingError
    turns: Turns = request.app.state.turns
    async with received(request, parts.staging, {}) as body:
        failed_too = body.flag("retry_failed")
    envelope = over_http(principal.did)
    async with turns.of(principal.did):
        asked = await run_in_threadpool(
            migrate_all, parts.log, principal.did, envelope, failed_too=failed_too
        )
    parts.wake()
    report = await run_in_threadpool(_report, parts, principal.did)
    answer = report.model_copy(update={"requested": asked}).model_dump(mode="json")
    return AsciiJsonResponse(answer, status_code=202, headers={"Location": HERE})


@router.get(HERE, response_model=MigrationBody, responses=errors(401, 503))
def read_migration(principal: SignedIn, parts: Parts) -> Response:
    """Read how much of the caller's audio is on the PDS, pending, refused and why, or excluded."""
    return AsciiJsonResponse(_report(parts, principal.did).model_dump(mode="json"))


def _report(parts: Services, did: str) -> MigrationBody:
    with parts.database.read() as connection:
        return migration_report(connection, did)
