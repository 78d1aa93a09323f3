"""Serves audio and covers, whole or in ranges, as long as a live track names them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import OptionalCaller, ServicesDep
from api.error_responses import error_response
from api.middleware.security_headers import GATED_MEDIA, PUBLIC_MEDIA
from api.openapi import errors
from api.pipeline.media_reads import CallerReads, Reads
from api.requests.byte_range import range_of
from api.responses.attachment import attachment
from api.services import Services
from application.errors import MediaNotFoundError
from application.playback_access import admit, admit_download
from identity.accounts.credentials import Principal
from projections.track_queries import live_tracks_naming
from projections.track_view import TrackView
from storage.artwork import THUMBNAIL_MIME

router = APIRouter(tags=["media"])

IMMUTABLE: Final = "public, max-age=31536000, immutable"
FIVE_MINUTES: Final = "public, max-age=300"
"""Open audio may be gated or deleted any time; shared caches then keep it no longer than this."""
PRIVATE: Final = "private, no-cache"
CID: Final = re.compile(r"[a-z2-7]{1,80}")


Cid = Annotated[str, Path(description="the CID of the bytes")]
Extension = Annotated[str, Path(description="the `file_type` of the track")]


@dataclass(frozen=True)
class _Wanted:
    cid: str
    mime: str
    caching: str


@router.head("/audio/{cid}.{extension}", include_in_schema=False)
@router.get(
    "/audio/{cid}.{extension}",
    responses=errors(401, 402, 404, 416, 422, 503),
    response_class=Response,
)
async def audio(
    request: Request,
    cid: Cid,
    extension: Extension,
    caller: OptionalCaller,
    services: ServicesDep,
    *,
    reads: Reads,
) -> Response:
    """Play a track. A gated one is for its owner and supporters, one that was taken down for admins only."""
    view = await audible(services, caller, cid, extension)
    return await audio_bytes(request, services, reads, view)


@router.get(
    "/audio/{cid}.{extension}/download",
    responses=errors(401, 402, 403, 404, 416, 422, 503),
    response_class=Response,
)
async def download(
    request: Request,
    cid: Cid,
    extension: Extension,
    caller: OptionalCaller,
    services: ServicesDep,
    *,
    reads: Reads,
) -> Response:
    """Download a track as a file, if its `downloads` and its gate let the caller. What can be played can be recorded."""
    view = await downloadable(services, caller, cid, extension)
    return await audio_file(request, services, reads, view)


@router.head("/artwork/{cid}", include_in_schema=False)
@router.get("/artwork/{cid}", responses=errors(404, 416, 422, 503), response_class=Response)
async def artwork(
    request: Request, cid: Cid, caller: OptionalCaller, services: ServicesDep, *, reads: Reads
) -> Response:
    """Read a cover or a thumbnail; covers are never gated. That of a track that was taken down is for admins only."""
    views = await run_in_threadpool(_naming, services, cid, caller)
    mime = _mime_of_image(views, cid)
    caching = IMMUTABLE if any(view.taken_down_at is None for view in views) else PRIVATE
    return await _bytes(request, services, reads, _Wanted(cid, mime, caching))


async def audible(
    services: Services, caller: Principal | None, cid: str, extension: str | None = None
) -> TrackView:
    """Return a track with this audio that the caller may hear; raises as `admit`."""
    return await admit(caller, await _with_audio(services, caller, cid, extension), services.supporters)


async def downloadable(
    services: Services, caller: Principal | None, cid: str, extension: str | None = None
) -> TrackView:
    """Return a track with this audio that the caller may download; raises as `admit_download`."""
    views = await _with_audio(services, caller, cid, extension)
    return await admit_download(caller, views, services.supporters)


async def audio_bytes(request: Request, services: Services, reads: CallerReads, view: TrackView) -> Response:
    """Return the audio of a track that the caller may hear, or the range of it that the request wants."""
    is_open = view.support_gate is None and view.taken_down_at is None
    caching = FIVE_MINUTES if is_open else PRIVATE
    return await _bytes(request, services, reads, _Wanted(view.audio.cid, view.audio.mime, caching))


async def audio_file(request: Request, services: Services, reads: CallerReads, view: TrackView) -> Response:
    """Return the audio of a track that the caller may download, as a file to save."""
    response = await _bytes(request, services, reads, _Wanted(view.audio.cid, view.audio.mime, PRIVATE))
    response.headers["Content-Disposition"] = attachment(
        f"{view.artist} - {view.title}.{view.audio.file_type}"
    )
    return response


async def _with_audio(
    services: Services, caller: Principal | None, cid: str, extension: str | None
) -> list[TrackView]:
    named_by = await run_in_threadpool(_naming, services, cid, caller)
    views = [view for view in named_by if view.audio.cid == cid]
    return [view for view in views if extension in (None, view.audio.file_type)]


def _naming(services: Services, cid: str, caller: Principal | None) -> Sequence[TrackView]:
    """Return the tracks with these bytes; taken-down tracks only for an admin, since their owner has the bytes."""
    if CID.fullmatch(cid) is None:
        return []
    with services.database.read() as connection:
        views = live_tracks_naming(connection, cid)
    if caller is not None and caller.admin:
        return sorted(views, key=lambda view: view.taken_down_at is not None)
    return [view for view in views if view.taken_down_at is None]


def _mime_of_image(views: Sequence[TrackView], cid: str) -> str:
    covers = [view.artwork for view in views if view.artwork is not None]
    for cover in covers:
        if cover.cid == cid:
            return cover.mime
    if any(cover.thumbnail_cid == cid for cover in covers):
        return THUMBNAIL_MIME
    raise MediaNotFoundError


async def _bytes(request: Request, services: Services, reads: CallerReads, file: _Wanted) -> Response:
    found = await run_in_threadpool(services.media.find, file.cid)
    if found is None:
        raise MediaNotFoundError
    etag = f'"{file.cid}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": file.caching}
    if file.caching == PRIVATE:
        headers |= {**GATED_MEDIA, "Vary": "Cookie, Authorization"}
    else:
        headers |= PUBLIC_MEDIA
    if _knows(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    wanted = range_of(request, etag, found.size)
    if wanted is None:
        outside = {**headers, "Content-Range": f"bytes */{found.size}"}
        message = f"The range lies outside the {found.size} bytes of this file."
        return error_response(416, "range_not_satisfiable", message, outside)
    headers |= {"Content-Type": file.mime, "Content-Length": str(wanted.end - wanted.start)}
    if wanted.asked:
        headers["Content-Range"] = wanted.content_range
    status = 206 if wanted.asked else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    chunks = await reads.stream(found.key, wanted.start, wanted.end)
    return StreamingResponse(chunks, status_code=status, headers=headers)


def _knows(if_none_match: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags
