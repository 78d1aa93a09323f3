"""Compares an account's PDS with the log."""

from typing import Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, Writer
from api.errors import TooManyComparisonsError
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import repeatable_errors
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.known_names import StrictRoute
from api.services import Services
from replay.reconcile.drift import Drift
from replay.reconcile.verify import repos_of
from replay.recovered import resume_account

MAX_LISTED: Final = 1000
RETRY_AFTER_SECONDS: Final = 30

router = APIRouter(tags=["account"], route_class=StrictRoute)


class DriftBody(BaseModel):
    """A record that is not as the log says."""

    kind: str = Field(
        description="missing, foreign_edit, stale, newer, undeleted, unknown, blob_missing or withdrawn"
    )
    track_id: int | None
    uri: str
    expected_cid: str | None
    found_cid: str | None

    @classmethod
    def of(cls, drift: Drift) -> "DriftBody":
        return cls(
            kind=drift.kind.value,
            track_id=drift.track_id,
            uri=drift.key.uri,
            expected_cid=drift.expected_cid,
            found_cid=drift.found_cid,
        )


class VerifiedBody(BaseModel):
    """How many records were compared, and which differ; `problem` says why the PDS could not be read."""

    records: int
    drifts: list[DriftBody] = Field(description=f"at most {MAX_LISTED}")
    unjudged: list[str] = Field(
        description=f"the URIs of records that may differ: they are on their way, or could not be read; at most {MAX_LISTED}"
    )
    more: int = Field(description="how many more differ, or were not judged, than are listed")
    problem: str | None


@router.post("/me/verify", response_model=VerifiedBody, responses=repeatable_errors())
async def verify_own(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Compare every record with the log; nothing is changed. A comparison of the account that is under way answers for this one.

    After a restore of the database it lets the relay resume with the account: what is newer on its PDS is held.
    """
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await attempt.finish(result_of(await _verified(services, principal.did)))
    return response_of(attempt.result)


async def _verified(services: Services, did: str) -> VerifiedBody:
    repos = await run_in_threadpool(repos_of, services.database, did)
    if not repos:
        return VerifiedBody(records=0, drifts=[], unjudged=[], more=0, problem=None)
    try:
        found = await services.verifier.verify(repos[0])
    except TimeoutError:
        raise TooManyComparisonsError(RETRY_AFTER_SECONDS) from None
    await run_in_threadpool(resume_account, services.log, found, services.kinds, over_http(did))
    drifts, unjudged = found.drifts[:MAX_LISTED], sorted(key.uri for key in found.unjudged)[:MAX_LISTED]
    return VerifiedBody(
        records=found.records,
        drifts=[DriftBody.of(drift) for drift in drifts],
        unjudged=unjudged,
        more=len(found.drifts) - len(drifts) + len(found.unjudged) - len(unjudged),
        problem=found.problem,
    )
