"""Edits the caller's profile for the peer's clients."""

from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from api.auth.authentication import ServicesDep, Writer
from api.json_response import response_of
from api.middleware.request_id import over_http
from api.openapi import TEXT, either
from api.pipeline.idempotent_request import Idempotent, result_of
from api.plyr.reading import ROUTER
from api.plyr.routers.artists import ArtistResponse
from api.requests.account_fields import PROFILE_FIELDS, profile_of
from api.requests.body import Body
from api.routers.artists import artist_with_did
from application.account import update_profile

router: Final = APIRouter(**ROUTER)

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
            await run_in_threadpool(services.log.transact, did, over_http(did), edit)
            artist = await run_in_threadpool(artist_with_did, services, did)
            await attempt.finish(result_of(ArtistResponse.of(artist)))
    return response_of(attempt.result)


def _refuse_what_is_not_held(body: Body) -> None:
    for field in NOT_HELD:
        if body.fields.get(field) not in (None, "", False):
            raise InvalidFieldError(field, "must not be sent: a profile has none here")
