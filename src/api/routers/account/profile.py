"""The picture of the caller's profile, and where a first edit of the profile begins."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from aggregates.accounts.profile import Profile
from aggregates.errors import InvalidFieldError
from api.errors import NotOfferedError
from api.middleware.http_layer import over_http
from api.openapi import IMAGE_FILE, errors, multipart
from api.pipeline.command_request import Command, CommandRequest
from api.pipeline.idempotent_request import Attempt
from api.requests.body import fields_as
from api.requests.fields import ProfileFields
from api.requests.parameters import StrictRoute
from api.responses.profile import ProfileBody, saved_profile
from api.services import Services
from application.profile import Beginning, set_avatar, update_profile
from eventstore.streams.buckets import bucket_of
from eventstore.unit_of_work import UnitOfWork
from outbox.pds.client import RecordKey
from projections.profiles import profile_of
from replay.adoption.plain import PlainIntake
from storage.artwork import MAX_BYTES as IMAGE_BYTES

router = APIRouter(tags=["account"], route_class=StrictRoute)
PICTURE: Final = {**IMAGE_FILE, "description": "the picture"}


@router.put(
    "/me/avatar",
    response_model=ProfileBody,
    openapi_extra=multipart({"image": PICTURE}),
    responses=errors(501),
)
async def set_picture(request: Command) -> Response:
    """Set the picture of the profile. The record that the PDS has already is adopted; its other fields stay."""
    return await _answer(request, {"image": IMAGE_BYTES})


@router.delete("/me/avatar", response_model=ProfileBody, responses=errors(501))
async def remove_picture(request: Command) -> Response:
    """Remove the picture of the profile."""
    return await _answer(request, {})


async def _answer(request: CommandRequest, files: dict[str, int]) -> Response:
    services, did = request.services, request.principal.did
    async with request.begin(files=files) as attempt:
        if not attempt.is_repetition:
            avatar = None
            if files:
                prepared = await request.intake.read_artwork(did, attempt.body.file("image"))
                avatar = await request.intake.keep_artwork(prepared)
            use_case = partial(
                set_avatar,
                avatar=avatar,
                beginning=await beginning_of(services, did),
                versions=request.versions,
                reserved=attempt.reserved,
            )
            await attempt.commit(use_case, saved_profile, avatar.cids if avatar is not None else ())
    return await attempt.response()


async def save_profile(services: Services, did: str, attempt: Attempt) -> None:
    """Set what the body says of the account; with a first bio begins its profile, unless no login may write one."""
    changes = fields_as(ProfileFields, attempt.body).model_dump(exclude_unset=True)
    beginning: Beginning | None = None
    if changes.get("bio") is not None:  # a form sends an empty one of a profile that was never shown
        with suppress(NotOfferedError):
            beginning = await beginning_of(services, did)

    def edit(unit: UnitOfWork) -> None:
        services.event_budget.limit(unit)
        update_profile(unit, changes=changes, beginning=beginning)

    await attempt.run(services.log.transact, did, over_http(did), edit)
    services.wake(bucket_of(did))


async def beginning_of(services: Services, did: str) -> Beginning | None:
    """Return where the account's profile begins, with the record that its PDS has; None of one that is here.

    What the PDS does not say now, the relay finds before it writes. Raises NotOfferedError.
    """

    def host_of_new() -> str | None:
        with services.database.read() as connection:
            if profile_of(connection, did) is not None:
                return None
        account = services.accounts.get(did)
        return account.pds_url if account is not None else ""

    if (host := await run_in_threadpool(host_of_new)) is None:
        return None
    intake = PlainIntake(services.kinds[Profile.TOPIC])
    beginning = Beginning(services.collection_of(Profile.TOPIC), intake.kind.only_key or "", host)
    key = RecordKey(did, beginning.collection, beginning.key)
    remote = (await services.record_reads.read(host, key, None)).remote
    if remote is None or remote.cid is None:
        return beginning
    try:
        return replace(beginning, found=(remote, await run_in_threadpool(intake.read, key, remote)))
    except InvalidFieldError:
        return beginning
