"""Releases: files that are uploaded and put in order before anything of them is published."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from aggregates.releases.release import Release
from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse, Page, cut
from api.middleware.http_layer import PREVIEWS
from api.openapi import IMAGE_FILE, fields_of
from api.pipeline.command_request import Command, CommandRequest, Respond
from api.readers.releases import own_release
from api.requests.body import given_in
from api.requests.parameters import PageQuery, ReleaseId, StrictRoute, cursor_of, page_length
from api.requests.releases import ArrangementFields, EditReleaseFields, PublishFields, ReleaseFields
from api.responses.release import (
    MusicReleaseBody,
    ReleaseRow,
    ended_release,
    release_row,
    saved_release,
)
from api.routers.tracks.writes import take_cover
from application.releases.drafts import (
    create_release,
    delete_release,
    edit_release,
    set_preview,
)
from application.releases.publishing import schedule, unschedule
from application.subjects import On, change_owned
from eventstore.unit_of_work import UnitOfWork
from projections.releases import page_of_releases
from storage.artwork import MAX_BYTES as IMAGE_BYTES
from storage.media import Reserved

router = APIRouter(prefix="/releases", tags=["releases"], route_class=StrictRoute)
IMAGE: Final = {"image": {**IMAGE_FILE, "description": "the cover of its tracks"}}
FILES: Final = {"image": IMAGE_BYTES}


@router.post(
    "", status_code=201, response_model=MusicReleaseBody, openapi_extra=fields_of(ReleaseFields, **IMAGE)
)
async def create(request: Command) -> Response:
    """Begin a release. It is a draft, which ends 30 days after its last change."""
    return await _answer(request, None, ReleaseFields, create_release, partial(saved_release, created=True))


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
    return AsciiJsonResponse(body, headers=body.headers)


@router.patch(
    "/{release_id}", response_model=MusicReleaseBody, openapi_extra=fields_of(EditReleaseFields, **IMAGE)
)
async def change(release_id: ReleaseId, request: Command) -> Response:
    """Change the given fields. An empty one is cleared, an absent one is left unchanged."""
    on = request.on(Release, release_id)
    return await _answer(request, on, EditReleaseFields, partial(edit_release, on=on))


async def _answer(
    request: CommandRequest,
    on: On[Release] | None,
    model: type[BaseModel],
    use_case: Callable[[UnitOfWork, dict[str, Any], Reserved], Release],
    show: Respond = saved_release,
) -> Response:
    """Give the use case the fields that the body has, and the cover, which is stored."""
    async with request.begin(on=on, files=FILES) as attempt:
        if not attempt.is_repetition:
            given = given_in(model, attempt.body)
            await take_cover(request, attempt.body, given)
            await attempt.commit(lambda unit: use_case(unit, given, attempt.reserved), show)
    return await attempt.response()


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

    def use_case(unit: UnitOfWork, given: dict[str, Any], _: Reserved) -> Release:
        tracks = [each.model_dump(exclude_unset=True) for each in given["tracks"]]
        return change_owned(unit, on, lambda made: made.arrange(tracks, at=unit.now))

    return await _answer(request, on, ArrangementFields, use_case)


@router.post("/{release_id}/publish", response_model=MusicReleaseBody, openapi_extra=fields_of(PublishFields))
async def publish(release_id: ReleaseId, request: Command) -> Response:
    """Publish a release, now or at a time.

    Its tracks appear in their order, with their album, all at once or not at all. A second time is no change.
    """
    on = request.on(Release, release_id)
    return await _answer(
        request, on, PublishFields, lambda unit, given, _: schedule(unit, on, given.get("at"))
    )


@router.post("/{release_id}/unschedule", response_model=MusicReleaseBody)
async def take_back(release_id: ReleaseId, request: Command) -> Response:
    """Make a draft of a scheduled release again."""
    on = request.on(Release, release_id)
    return await request.answer(partial(unschedule, on=on), saved_release, on=on)


@router.post("/{release_id}/preview", response_model=MusicReleaseBody)
async def share(release_id: ReleaseId, request: Command) -> Response:
    """Make a secret link, in place of any earlier one.

    Who has it sees and plays the release. It is shown this once, in `preview_url`.
    """
    on, token = request.on(Release, release_id), secrets.token_urlsafe(32)
    async with request.begin(on=on) as attempt:
        if not attempt.is_repetition:
            await attempt.commit(partial(set_preview, on=on, token=token), saved_release)
    result = attempt.result
    link = {} if attempt.is_repetition else {"preview_url": f"{request.services.base_url}{PREVIEWS}{token}"}
    return AsciiJsonResponse({**result.fields, **link}, headers=result.headers)


@router.delete("/{release_id}/preview", response_model=MusicReleaseBody)
async def unshare(release_id: ReleaseId, request: Command) -> Response:
    """Withdraw the secret link."""
    on = request.on(Release, release_id)
    return await request.answer(partial(set_preview, on=on, token=None), saved_release, on=on)
