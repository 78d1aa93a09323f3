"""Copying all of an account's audio to its PDS."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import AsciiJsonResponse
from api.middleware.request_id import over_http
from api.openapi import either, errors, repeatable_errors
from api.pipeline.idempotent_request import Asked, Repeatable, answer_of
from api.responses.blob_migration import MigrationBody, migration_report
from api.services import Services
from application.errors import LeavingError
from application.records.copy_all_audio_to_pds import migrate_all
from eventstore.idempotency.results import CommandResult

router = APIRouter(tags=["records"])

HERE = "/me/migrate-to-pds"


@router.post(
    HERE,
    status_code=202,
    response_model=MigrationBody,
    responses=repeatable_errors(400),
    openapi_extra=either([], {}, retry_failed={"type": "boolean"}),
)
async def migrate_everything(
    request: Request, principal: Writer, services: ServicesDep, repeatable: Repeatable
) -> Response:
    """Request a copy on the PDS of all audio that may be there and is not, behind live work; a repeated request requests nothing twice.

    Audio that the PDS refused is requested again only with retry_failed. Location says where to follow it.
    """
    did, turns = principal.did, request.app.state.turns

    async def act(asked: Asked) -> CommandResult:
        if principal.leaving:
            raise LeavingError
        failed_too = asked.body.flag("retry_failed")
        async with turns.of(did):
            requested = await run_in_threadpool(
                migrate_all, services.log, did, over_http(did), failed_too=failed_too
            )
        services.wake()
        report = await run_in_threadpool(_report, services, did)
        return answer_of(report.model_copy(update={"requested": requested}), 202, Location=HERE)

    return await repeatable.perform(act)


@router.get(HERE, response_model=MigrationBody, responses=errors(401, 503))
def read_migration(principal: SignedIn, services: ServicesDep) -> Response:
    """Read how much of the caller's audio is on the PDS, pending, refused and why, or excluded."""
    return AsciiJsonResponse(_report(services, principal.did).model_dump(mode="json"))


def _report(services: Services, did: str) -> MigrationBody:
    with services.database.read() as connection:
        return migration_report(connection, did)
