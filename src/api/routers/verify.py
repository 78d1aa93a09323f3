"""Compares an account's PDS with the log."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import repeatable_errors
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.known_names import StrictRoute
from api.services import Services
from outbox.repo.reads import RepoReads
from replay.reconcile.drift import Drift
from replay.reconcile.verify import repos_of, verify
from replay.recovered import resume_account

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
    drifts: list[DriftBody]
    problem: str | None


@router.post("/me/verify", response_model=VerifiedBody, responses=repeatable_errors())
async def verify_own(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Compare every record with the log. Deliveries in progress are not compared, and nothing is changed.

    After a restore of the database it lets the relay resume with the account: what is newer on its PDS is held.
    """
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await attempt.finish(result_of(await _verified(services, principal.did)))
    return response_of(attempt.result)


async def _verified(services: Services, did: str) -> VerifiedBody:
    envelope = over_http(did)
    repos = await run_in_threadpool(repos_of, services.database, did)
    body = VerifiedBody(records=0, drifts=[], problem=None)
    async for found in verify(services.database, RepoReads(services.pds), repos):
        await run_in_threadpool(resume_account, services.log, found, services.urls, envelope)
        body.records += found.records
        body.drifts += [DriftBody.of(drift) for drift in found.drifts]
        body.problem = found.problem
    return body
