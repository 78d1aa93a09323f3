"""Copies all of an account's audio to its PDS."""

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import FLAG, either, errors, repeatable_errors
from api.pipeline.concurrency import AccountTurns
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.known_names import StrictRoute
from api.responses.blob_migration import MigrationBody, migration_report
from api.services import Services
from application.errors import LeavingError
from application.records.copy_audio_to_pds import copy_all_audio_to_pds
from identity.accounts.accounts import AccountState

router = APIRouter(tags=["records"], route_class=StrictRoute)

HERE = "/me/migrate-to-pds"
RETRY_FAILED = {**FLAG, "description": "whether to request again what the PDS refused"}


@router.post(
    HERE,
    status_code=202,
    response_model=MigrationBody,
    responses=repeatable_errors(),
    openapi_extra=either([], {}, retry_failed=RETRY_FAILED),
)
async def migrate_everything(
    principal: Writer, services: ServicesDep, turns: AccountTurns, request: Idempotent
) -> Response:
    """Request a copy on the PDS of all audio that may be there and is not, behind live work; a repeated request requests nothing twice.

    Audio that the PDS refused is requested again only with retry_failed. Location says where to follow it.
    """
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            if principal.state is AccountState.LEAVING:
                raise LeavingError
            retry_failed = attempt.body.flag("retry_failed")
            async with turns.of(did):
                requested = await run_in_threadpool(
                    copy_all_audio_to_pds, services.log, did, over_http(did), failed_too=retry_failed
                )
            services.wake()
            report = await run_in_threadpool(_report, services, did)
            report = report.model_copy(update={"requested": requested})
            await attempt.finish(result_of(report, 202, Location=HERE))
    return response_of(attempt.result)


@router.get(HERE, responses=errors(401, 503))
def read_migration(principal: SignedIn, services: ServicesDep) -> MigrationBody:
    """Read how much of the caller's audio is on the PDS, pending, refused and why, or excluded."""
    return _report(services, principal.did)


def _report(services: Services, did: str) -> MigrationBody:
    with services.database.read() as connection:
        return migration_report(connection, did)
