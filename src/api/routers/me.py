"""The caller's own account."""

from functools import partial

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import either, errors, repeatable_errors
from api.pipeline.idempotent_request import Idempotent, result_of
from api.requests.account_fields import PROFILE_FIELDS, profile_of
from api.requests.known_names import StrictRoute
from api.responses.account_deletion import LeavingBody, leaving_body
from application.account import update_profile
from application.errors import LeavingError
from identity.accounts.accounts import AccountState

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
    pds_url: str | None
    scope: str
    operator: bool
    admin: bool
    leaving: LeavingBody | None = Field(
        description="the progress of leaving, once the account has asked to leave"
    )


@router.get("/me", responses=errors(401, 503))
def read_me(principal: SignedIn, services: ServicesDep) -> MeBody:
    """Read the caller's account."""
    with services.database.read() as connection:
        account = services.accounts.get(principal.did)
        since = account.leaving_since if account is not None else None
        leaving = leaving_body(services.database, connection, principal.did, since) if since else None
    return MeBody(
        did=principal.did,
        handle=principal.handle,
        display_name=account.name if account is not None else principal.handle,
        bio=account.bio if account is not None else None,
        pds_url=account.pds_url if account is not None else None,
        scope=principal.scope.value,
        operator=principal.operator,
        admin=principal.admin,
        leaving=leaving,
    )


@router.patch(
    "/me",
    response_model=MeBody,
    responses=repeatable_errors(),
    openapi_extra=either([], {}, **PROFILE_FIELDS),
)
async def edit_me(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Set the name and the bio shown here: an empty one is cleared, an absent one is left unchanged.

    New tracks have the name as their artist; existing ones keep theirs.
    """
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            changes = profile_of(attempt.body)
            by = over_http(did)
            await run_in_threadpool(services.log.transact, did, by, partial(update_profile, changes=changes))
            await attempt.finish(result_of(await run_in_threadpool(read_me, principal, services)))
    return response_of(attempt.result)


@router.post("/me/disconnect", response_model=DisconnectedBody, responses=repeatable_errors())
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
