"""Reads artists, and edits the caller's own profile."""

from datetime import datetime
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn, Writer
from api.json_response import AsciiJsonResponse, response_of
from api.middleware.request_id import over_http
from api.openapi import TEXT, either
from api.pipeline.idempotent_request import Idempotent, result_of
from api.plyr.reading import ROUTER
from api.requests.account_fields import PROFILE_FIELDS, profile_of
from api.requests.body import Body
from api.routers.artists import artist_with_did, artist_with_handle
from application.account import update_profile
from identity.accounts.accounts import Account

router: Final = APIRouter(**ROUTER)


class ArtistResponse(BaseModel):
    """The peer's profile of an artist."""

    did: str
    handle: str
    display_name: str
    bio: str | None = None
    avatar_url: str | None = None
    support_url: str | None = None
    show_liked_on_profile: bool = False
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, account: Account) -> "ArtistResponse":
        return cls(
            did=account.did,
            handle=account.handle,
            display_name=account.name,
            bio=account.bio,
            created_at=account.created_at,
            updated_at=account.updated_at,
        )


@router.get("/auth/me")
def read_caller(principal: SignedIn) -> Response:
    """Read whose token it is."""
    return AsciiJsonResponse(
        {
            "did": principal.did,
            "handle": principal.handle,
            "linked_accounts": [],
            "enabled_flags": [],
        }
    )


@router.get("/artists/me")
def read_own_profile(principal: SignedIn, services: ServicesDep) -> Response:
    """Read the caller's profile."""
    return _profile(artist_with_did(services, principal.did))


@router.get("/artists/by-handle/{handle}")
def read_artist_by_handle(handle: str, _: OptionalCaller, services: ServicesDep) -> Response:
    """Read the profile of the artist with a handle."""
    return _profile(artist_with_handle(services, handle))


@router.get("/artists/{did}")
def read_artist(did: str, _: OptionalCaller, services: ServicesDep) -> Response:
    """Read the profile of the artist with a DID."""
    return _profile(artist_with_did(services, did))


def _profile(artist: Account) -> Response:
    return AsciiJsonResponse(ArtistResponse.of(artist))


NOT_HELD: Final[dict[str, Any]] = {
    "avatar_url": TEXT,
    "support_url": TEXT,
    "show_liked_on_profile": {"type": "boolean"},
}
"""What a profile has at the peer and not here; only the value that every profile has here is accepted."""


@router.put("/artists/me", openapi_extra=either([], {}, **PROFILE_FIELDS, **NOT_HELD))
async def edit_profile(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Set the name and the bio: an empty one is cleared, an absent one is left unchanged."""
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            _refuse_what_is_not_held(attempt.body)
            edit = partial(update_profile, changes=profile_of(attempt.body))
            await attempt.run(services.log.transact, did, over_http(did), edit)
            artist = await run_in_threadpool(artist_with_did, services, did)
            await attempt.finish(result_of(ArtistResponse.of(artist)))
    return response_of(attempt.result)


def _refuse_what_is_not_held(body: Body) -> None:
    for field in NOT_HELD:
        if body.fields.get(field) not in (None, "", False):
            raise InvalidFieldError(field, "must not be sent: a profile has none here")
