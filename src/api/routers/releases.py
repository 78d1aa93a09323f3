"""Releases: files that are uploaded and put in order before anything of them is published."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from aggregates.release import Release
from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse, Page, cut
from api.middleware.http_layer import PREVIEWS
from api.openapi import IMAGE_FILE, fields_of
from api.pipeline.command_request import Command, CommandAttempt, CommandRequest, Respond, UseCase
from api.pipeline.pds import blob_limit
from api.requests.body import Body, fields_as
from api.requests.parameters import PageQuery, ReleaseId, StrictRoute, cursor_of, page_length
from api.requests.releases import ArrangementFields, EditReleaseFields, PublishFields, ReleaseFields
from api.responses.release import (
    MusicReleaseBody,
    PreviewBody,
    ReleaseRow,
    ended_release,
    preview_body,
    release_body,
    release_row,
    saved_release,
)
from api.routers.lists import cover_of
from api.services import Services
from application.errors import MediaNotFoundError
from application.records import AUDIO_BLOB_BYTES
from application.releases.drafts import (
    change_release,
    create_release,
    delete_release,
    edit_release,
    find_preview,
    make_preview,
)
from application.releases.publishing import schedule, unschedule
from application.subjects import On, require_owned
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Principal
from projections.releases import page_of_releases
from storage.artwork import MAX_BYTES as IMAGE_BYTES

router = APIRouter(prefix="/releases", tags=["releases"], route_class=StrictRoute)
IMAGE: Final = {"image": {**IMAGE_FILE, "description": "the cover of its tracks"}}
LIMIT_TIMEOUT_SECONDS: Final = 2.0
"""A page waits no longer for what the PDS says of its limit."""
FILES: Final = {"image": IMAGE_BYTES}


@router.post(
    "", status_code=201, response_model=MusicReleaseBody, openapi_extra=fields_of(ReleaseFields, **IMAGE)
)
async def create(request: Command) -> Response:
    """Begin a release. It is a draft, which ends 30 days after its last change."""

    async def parse(attempt: CommandAttempt) -> UseCase:
        changes = await _changes(request, attempt.body, ReleaseFields)
        return partial(create_release, changes=changes, reserved=attempt.reserved)

    return await _answer(request, None, parse, partial(saved_release, created=True))


@router.get("")
def list_releases(
    principal: SignedIn, services: ServicesDep, wanted: Annotated[PageQuery, Query()]
) -> Page[ReleaseRow]:
    """List your releases, newest first."""
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    with services.database.read() as connection:
        found = page_of_releases(connection, principal.did, before=before, limit=limit + 1)
        now = services.database.now(connection)
    rows, cursor = cut(found, limit, lambda row: row.release_id)
    return Page[ReleaseRow](items=[release_row(row, now) for row in rows], cursor=cursor)


@router.get("/{release_id}", response_model=MusicReleaseBody)
def read(principal: SignedIn, services: ServicesDep, release_id: ReleaseId) -> Response:
    """Read a release of yours; its ETag is its version."""
    body = own_release(principal, services, release_id)
    return AsciiJsonResponse(body, headers={"ETag": body.etag})


def own_release(principal: Principal, services: Services, release_id: int) -> MusicReleaseBody:
    with services.database.read() as connection:
        release = require_owned(services.log, connection, principal.did, On(Release, release_id))
        return release_body(connection, release, services.database.now(connection))


@router.patch(
    "/{release_id}", response_model=MusicReleaseBody, openapi_extra=fields_of(EditReleaseFields, **IMAGE)
)
async def change(release_id: ReleaseId, request: Command) -> Response:
    """Change the given fields: an empty one is cleared, an absent one is left unchanged."""
    on = request.on(Release, release_id)

    async def parse(attempt: CommandAttempt) -> UseCase:
        changes = await _changes(request, attempt.body, EditReleaseFields)
        return partial(edit_release, on=on, changes=changes, reserved=attempt.reserved)

    return await _answer(request, on, parse)


async def _changes(request: CommandRequest, body: Body, model: type[ReleaseFields]) -> dict[str, Any]:
    """Return the fields that are given, with the cover, which is stored."""
    fields = fields_as(model, body)
    changes: dict[str, Any] = {name: getattr(fields, name) for name in fields.model_fields_set}
    if changes.pop("remove_image", False) or body.fields.get("image") == "":
        changes["artwork"] = None
    elif (artwork := await cover_of(request, body)) is not None:
        changes["artwork"] = artwork
    return changes


@router.delete("/{release_id}", status_code=204, response_class=Response)
async def delete(release_id: ReleaseId, request: Command) -> Response:
    """Delete a release with its files, for good."""
    on = request.on(Release, release_id)
    return await request.answer(partial(delete_release, on=on), ended_release, on=on)


@router.put(
    "/{release_id}/tracks", response_model=MusicReleaseBody, openapi_extra=fields_of(ArrangementFields)
)
async def arrange(release_id: ReleaseId, request: Command) -> Response:
    """Set the order of the files, and what each track has of its own."""
    on = request.on(Release, release_id)

    async def parse(attempt: CommandAttempt) -> UseCase:
        wanted = fields_as(ArrangementFields, attempt.body).tracks
        tracks = [each.model_dump(exclude_unset=True) for each in wanted]
        return lambda unit: change_release(unit, on, lambda made: made.arrange(tracks, at=unit.now))

    return await _answer(request, on, parse)


@router.post("/{release_id}/publish", response_model=MusicReleaseBody, openapi_extra=fields_of(PublishFields))
async def publish(release_id: ReleaseId, request: Command) -> Response:
    """Publish a release, now or at a time.

    Its tracks appear in their order, with their album, all at once or not at all. A second time is no change.
    """
    on = request.on(Release, release_id)

    async def parse(attempt: CommandAttempt) -> UseCase:
        return partial(schedule, on=on, at=fields_as(PublishFields, attempt.body).at)

    return await _answer(request, on, parse)


@router.post("/{release_id}/unschedule", response_model=MusicReleaseBody)
async def take_back(release_id: ReleaseId, request: Command) -> Response:
    """Make a draft of a scheduled release again."""
    on = request.on(Release, release_id)
    return await request.answer(partial(unschedule, on=on), saved_release, on=on)


async def _answer(
    request: CommandRequest,
    on: On[Release] | None,
    parse: Callable[[CommandAttempt], Awaitable[UseCase]],
    show: Respond = saved_release,
) -> Response:
    async with request.begin(on=on, files=FILES) as attempt:
        if not attempt.is_repetition:
            await attempt.commit(await parse(attempt), show)
    return await attempt.response(waits=False)


@router.post("/{release_id}/preview", response_model=MusicReleaseBody)
async def share(release_id: ReleaseId, request: Command) -> Response:
    """Make a secret link, in place of any earlier one.

    Who has it sees and plays the release. It is shown this once, in `preview_url`.
    """
    on, made = request.on(Release, release_id), list[str]()

    def use_case(unit: UnitOfWork) -> Release:
        release, token = make_preview(unit, on)
        made[:] = [token]
        return release

    async with request.begin(on=on) as attempt:
        if not attempt.is_repetition:
            await attempt.commit(use_case, saved_release)
    result = attempt.result
    link = {"preview_url": f"{request.services.base_url}{PREVIEWS}{made[0]}"} if made else {}
    return AsciiJsonResponse({**result.fields, **link}, headers=result.headers)


@router.delete("/{release_id}/preview", response_model=MusicReleaseBody)
async def unshare(release_id: ReleaseId, request: Command) -> Response:
    """Withdraw the secret link."""
    on = request.on(Release, release_id)

    def withdraw(unit: UnitOfWork) -> Release:
        return change_release(unit, on, lambda made: made.set_preview(None, at=unit.now))

    return await request.answer(withdraw, saved_release, on=on)


class LimitsBody(BaseModel):
    """How large a file may be that is uploaded, and for its copy on the PDS."""

    upload_bytes: int
    pds_bytes: int


async def upload_limits(principal: Principal, services: Services) -> LimitsBody:
    account = await run_in_threadpool(services.accounts.get, principal.did)
    host = account.pds_url if account is not None else None
    taken = await blob_limit(services, principal.did, host, LIMIT_TIMEOUT_SECONDS)
    pds_bytes = min(AUDIO_BLOB_BYTES, taken or AUDIO_BLOB_BYTES)
    return LimitsBody(upload_bytes=services.max_upload_bytes, pds_bytes=pds_bytes)


def previewed_release(_caller: Principal | None, services: Services, token: str) -> PreviewBody:
    """Return what a secret link shows; raises ReleaseNotFoundError."""
    with services.database.read() as connection:
        release = find_preview(services.log, connection, token)
    account = services.accounts.get(release.did)
    return preview_body(release, account.name if account is not None else "")


def previewed_mime(services: Services, token: str, cid: str) -> str:
    """Return the MIME type of bytes that a secret link shows; raises ReleaseNotFoundError or MediaNotFoundError."""
    with services.database.read() as connection:
        release = find_preview(services.log, connection, token)
    covers = [release.artwork, *(file.artwork for file in release.files)]
    mimes = {file.audio.cid: file.audio.mime for file in release.files}
    mimes |= {cover.cid: cover.mime for cover in covers if cover is not None}
    if cid not in mimes or cid not in release.cids:
        raise MediaNotFoundError
    return mimes[cid]
