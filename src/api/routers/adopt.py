"""Taking over the records that an account's PDS holds already."""

import asyncio
import time
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import AsciiJsonResponse
from api.middleware.request_id import over_http
from api.openapi import errors, repeatable_errors
from api.pipeline.idempotent_request import Asked, Repeatable, answer_of
from api.requests.preconditions import wait_of
from api.responses.adoption import RUNNING, WAITING, AdoptionBody, adoption_body
from api.services import Services
from application.authorization import require_staying
from eventstore.idempotency.results import CommandResult
from eventstore.unit_of_work import UnitOfWork
from replay.adoption import jobs as adoptions

router = APIRouter(tags=["records"])

HERE: Final = "/me/adopt"
LOOK_SECONDS: Final = 0.2


@router.post(
    HERE,
    status_code=202,
    response_model=AdoptionBody,
    responses={200: {"model": AdoptionBody}, **repeatable_errors()},
)
async def adopt(
    request: Request, principal: Writer, services: ServicesDep, repeatable: Repeatable
) -> Response:
    """Make tracks of all the caller's records that are not tracks yet, in the old collection too; nothing is written to the PDS.

    It runs in the background, one job per account; a repeated request joins the running job. 200 if it finishes within
    `Prefer: wait`. Location says where to follow it.
    """
    did, seconds = principal.did, wait_of(request.headers.getlist("prefer"))

    async def act(_asked: Asked) -> CommandResult:
        await run_in_threadpool(_ask, services, did)
        services.wake()
        return _answer(await run_in_threadpool(_report, services, did))

    async def wait() -> CommandResult:
        answer = _answer(await _awaited(services, did, seconds or 0))
        return CommandResult(
            answer.status, answer.body, {**answer.headers, "Preference-Applied": f"wait={seconds}"}
        )

    return await repeatable.perform(act, wait=wait if seconds else None)


@router.get(HERE, response_model=AdoptionBody, responses=errors(401, 503))
def read_adoption(principal: SignedIn, services: ServicesDep) -> Response:
    """Read the progress: which records became tracks, and which cannot, and why."""
    return AsciiJsonResponse(_report(services, principal.did).model_dump(mode="json"))


def _answer(report: AdoptionBody) -> CommandResult:
    return answer_of(report, 202 if report.state in {WAITING, RUNNING} else 200, Location=HERE)


def _ask(services: Services, did: str) -> None:
    envelope = over_http(did)

    def work(unit: UnitOfWork) -> None:
        require_staying(unit)
        adoptions.request(unit.connection, did, envelope, unit.now)

    services.log.transact(did, envelope, work)


async def _awaited(services: Services, did: str, seconds: int) -> AdoptionBody:
    """Look now and then, for as long as is wanted; no thread is held meanwhile."""
    ends = time.monotonic() + seconds
    report = await run_in_threadpool(_report, services, did)
    while report.state in {WAITING, RUNNING} and time.monotonic() < ends:
        await asyncio.sleep(LOOK_SECONDS)
        report = await run_in_threadpool(_report, services, did)
    return report


def _report(services: Services, did: str) -> AdoptionBody:
    with services.database.read() as connection:
        return adoption_body(connection, did)
