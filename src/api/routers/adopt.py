"""Adopts the records that an account's PDS holds already."""

import asyncio
import time
from typing import Final

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import errors, repeatable_errors
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.known_names import StrictRoute
from api.requests.preconditions import WaitPreference
from api.responses.adoption import AdoptionBody, adoption_body
from api.services import Services
from application.account import request_adoption
from eventstore.idempotency.results import CommandResult
from eventstore.jobs.table import UNFINISHED

router = APIRouter(tags=["records"], route_class=StrictRoute)

HERE: Final = "/me/adopt"
POLL_SECONDS: Final = 0.2


@router.post(
    HERE,
    status_code=202,
    response_model=AdoptionBody,
    responses={200: {"model": AdoptionBody}, **repeatable_errors()},
)
async def adopt(
    principal: Writer, services: ServicesDep, prefer: WaitPreference, request: Idempotent
) -> Response:
    """Make tracks of all the caller's records that are not tracks yet, in the old collection too; nothing is written to the PDS.

    It runs in the background, one job per account; a repeated request joins the running job. 200 if it finishes within
    `Prefer: wait`. Location says where to follow it.
    """
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await run_in_threadpool(request_adoption, services.log, did, over_http(did))
            services.wake()
            await attempt.finish(_result(await run_in_threadpool(_report, services, did)))
    if attempt.is_repetition or not prefer:
        return response_of(attempt.result)
    result = _result(await _awaited(services, did, prefer))
    return response_of(result, {"Preference-Applied": f"wait={prefer}"})


@router.get(HERE, responses=errors(401, 503))
def read_adoption(principal: SignedIn, services: ServicesDep) -> AdoptionBody:
    """Read the progress: which records became tracks, and which cannot, and why."""
    return _report(services, principal.did)


def _result(report: AdoptionBody) -> CommandResult:
    return result_of(report, 202 if report.state in UNFINISHED else 200, Location=HERE)


async def _awaited(services: Services, did: str, seconds: int) -> AdoptionBody:
    """Poll until the job has ended or the time is up; no thread is held meanwhile."""
    ends = time.monotonic() + seconds
    report = await run_in_threadpool(_report, services, did)
    while report.state in UNFINISHED and time.monotonic() < ends:
        await asyncio.sleep(POLL_SECONDS)
        report = await run_in_threadpool(_report, services, did)
    return report


def _report(services: Services, did: str) -> AdoptionBody:
    with services.database.read() as connection:
        return adoption_body(connection, did)
