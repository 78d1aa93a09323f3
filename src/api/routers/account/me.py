"""The caller's own account: its profile, its export, a comparison with its PDS, and its deletion."""

from collections.abc import Iterable, Iterator
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.errors import RateLimitedError
from api.json_response import ListedUri, body_from, response_of, result_of
from api.middleware.http_layer import over_http
from api.openapi import fields_of
from api.pipeline.concurrency import NDJSON, Export
from api.pipeline.idempotent_request import Attempt, Idempotent
from api.requests.body import fields_as
from api.requests.fields import LeaveFields, ProfileFields
from api.requests.parameters import StrictRoute
from api.responses.profile import ProfileBody, own_profile
from api.responses.progress import HERE, LeavingBody, leaving_body
from api.routers.account.profile import save_profile
from api.services import Services
from application.account import deletion_requested_at, request_deletion
from application.errors import LeavingError, NotAuthenticatedError
from eventstore.streams.buckets import bucket_of
from identity.accounts.accounts import AccountState
from replay.dump import account_lines
from replay.reconcile.drift import DriftKind
from replay.reconcile.verify import repos_of
from replay.recovered import resume_account

router = APIRouter(tags=["account"], route_class=StrictRoute)


class DisconnectedBody(BaseModel):
    """Whether the PDS has confirmed the end; if not, its grant expires by itself, and no token for it is left."""

    message: str
    revoked: bool


class MeBody(BaseModel):
    """The caller's account, and what the token may do."""

    did: str
    handle: str
    display_name: str = Field(description="the name set here, else that of the profile on the PDS")
    bio: str | None
    support_url: str | None
    avatar_url: str | None
    profile: ProfileBody | None = Field(
        description="with its record, once it was saved here or adopted: until then the bio is kept here alone"
    )
    comments: bool = Field(description="whether people may comment on tracks that say nothing else")
    pds_url: str | None
    scope: str
    operator: bool
    admin: bool
    leaving: LeavingBody | None = Field(
        description="the progress of leaving, once the account has asked to leave"
    )


@router.get("/me")
def read_me(principal: SignedIn, services: ServicesDep) -> MeBody:
    """Read the caller's account."""
    with services.database.read() as connection:
        account = services.accounts.get(principal.did)
        since = account.leaving_since if account is not None else None
        leaving = leaving_body(services.database, connection, principal.did, since) if since else None
        profile = own_profile(services, connection, principal.did)
    return body_from(
        MeBody,
        principal,
        display_name=account.name if account is not None else principal.handle,
        bio=profile.bio if profile is not None else account.bio if account is not None else None,
        support_url=account.support_url if account is not None else None,
        avatar_url=profile.avatar_url if profile is not None else None,
        profile=profile,
        comments=account is not None and account.comments,
        pds_url=account.pds_url if account is not None else None,
        leaving=leaving,
    )


@router.patch("/me", response_model=MeBody, openapi_extra=fields_of(ProfileFields))
async def edit_me(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Set the name, the bio and the address for supporters shown here, and whether people may comment. An empty one is cleared, an absent one is left unchanged.

    New tracks have the name as their artist; existing ones keep theirs. The bio is that of the profile's record, which is adopted where the PDS has one.
    """
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await save_profile(services, principal.did, attempt)
            await attempt.finish(result_of(await run_in_threadpool(read_me, principal, services)))
    return response_of(attempt.result)


@router.post("/me/disconnect", response_model=DisconnectedBody)
async def disconnect(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """End this service's access to the caller's PDS; edits accumulate until the next sign-in."""
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            if principal.state is AccountState.LEAVING:
                raise LeavingError  # its removals need the login
            revoked = await services.disconnect(principal.did, over_http(principal.did))
            message = "disconnected: nothing more is written until you sign in"
            await attempt.finish(result_of(DisconnectedBody(message=message, revoked=revoked)))
    return response_of(attempt.result)


MAX_LISTED: Final = 1000
RETRY_AFTER_SECONDS: Final = 30
TOO_MANY_COMPARISONS: Final = "Too many accounts are compared with their PDS now. Nothing was changed; wait as long as Retry-After says."


class DriftBody(BaseModel):
    """A record that is not as the log says."""

    kind: str = Field(description=f"one of: {', '.join(DriftKind)}")
    track_id: int | None
    uri: ListedUri
    expected_cid: str | None
    found_cid: str | None


class VerifiedBody(BaseModel):
    """How many records were compared, and which differ; `problem` says why the PDS could not be read."""

    records: int
    drifts: list[DriftBody] = Field(description=f"at most {MAX_LISTED}")
    unjudged: list[ListedUri] = Field(
        description=f"the URIs of records that may differ: they are on their way, or could not be read; at most {MAX_LISTED}"
    )
    more: int = Field(description="how many more differ, or were not judged, than are listed")
    problem: str | None


@router.post("/me/verify", response_model=VerifiedBody)
async def verify_own(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Compare every record with the log; nothing is changed. A comparison of the account that is under way answers for this one.

    After a restore of the database it lets the relay resume with the account: what is newer on its PDS is held.
    """
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await attempt.finish(result_of(await _verified(services, principal.did, attempt)))
    return response_of(attempt.result)


async def _verified(services: Services, did: str, attempt: Attempt) -> VerifiedBody:
    repos = await run_in_threadpool(repos_of, services.database, did)
    if not repos:
        return VerifiedBody(records=0, drifts=[], unjudged=[], more=0, problem=None)
    try:
        found = await services.verifier.verify(repos[0])
    except TimeoutError:
        raise RateLimitedError(RETRY_AFTER_SECONDS, TOO_MANY_COMPARISONS) from None
    await attempt.run(resume_account, services.log, found, services.kinds, over_http(did))
    drifts, unjudged = found.drifts[:MAX_LISTED], sorted(key.uri for key in found.unjudged)[:MAX_LISTED]
    return VerifiedBody(
        records=found.records,
        drifts=[body_from(DriftBody, each, kind=each.kind.value, uri=each.key.uri) for each in drifts],
        unjudged=unjudged,
        more=len(found.drifts) - len(drifts) + len(found.unjudged) - len(unjudged),
        problem=found.problem,
    )


CHUNK_BYTES: Final = 64 * 1024
"""Each chunk costs a thread hop; a line may have megabytes."""


@router.delete(HERE, status_code=202, response_model=LeavingBody, openapi_extra=fields_of(LeaveFields))
async def leave(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Remove every record of ours from the PDS, and then the login, the session that asked, and the account.

    All other sessions and all tokens end at once. The one that asked, and one that a later sign-in begins, may follow it (`GET /me`), export,
    repeat it and sign out. It continues in the background until nothing is left, across restarts, outages and sign-outs; a repeated request retries at
    once. Until then nothing can be uploaded or edited. Other artists' bytes stay, and so does the log. Location says where to follow it.

    Records that other programs made, and that this service never wrote, stay: `adopted` says how many. They go too if `adopted` names
    that number, also while the account leaves; another number is 409 `adopted_differ` with the true one.
    """
    did, envelope = principal.did, over_http(principal.did)

    def report() -> LeavingBody:
        with services.database.read() as connection:
            since = deletion_requested_at(connection, did)
            if since is None:
                raise NotAuthenticatedError  # the account is erased already, and the token with it
            return leaving_body(services.database, connection, did, since)

    async with request.begin() as attempt:
        if not attempt.is_repetition:
            adopted = fields_as(LeaveFields, attempt.body).adopted
            by = principal.credential_id
            await attempt.run(
                request_deletion, services.log, did, envelope, credential_id=by, adopted=adopted
            )
            services.wake(bucket_of(did))
            await attempt.finish(result_of(await run_in_threadpool(report), 202, Location=HERE))
    return response_of(attempt.result)


@router.get(
    "/me/export",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {}}}},
)
def export_own(principal: SignedIn, services: ServicesDep) -> Response:
    """Export everything that is known of the account here, as lines in the format of `mastertape export`.

    Events, attempts, what its PDS was observed to hold, where bytes are stored. The last line is a digest: without it the export is
    incomplete.
    """
    lines = account_lines(services.database, principal.did, schema=services.schema())
    return Export(services, principal, _chunks(lines), file="mastertape-export.ndjson")


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    chunk = bytearray()
    for line in lines:
        chunk += line
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)
