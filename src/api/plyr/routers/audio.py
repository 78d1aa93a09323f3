"""Serves audio by the file id that a track names, with an extension or without."""

from typing import Final, cast

from fastapi import APIRouter, Request, Response

from aggregates.track import Track
from api.auth.authentication import OptionalCaller, ServicesDep
from api.json_response import AsciiJsonResponse
from api.pipeline.media_reads import Reads
from api.plyr.reading import ROUTER
from api.routers.media import audible, audio_bytes, audio_file, downloadable

router: Final = APIRouter(**{key: value for key, value in ROUTER.items() if key != "route_class"})
"""Unknown parameters are ignored, as those of our own links to audio are."""


@router.head("/audio/{file_id}/download")
@router.get("/audio/{file_id}/download")
async def download(
    request: Request, file_id: str, caller: OptionalCaller, services: ServicesDep, *, reads: Reads
) -> Response:
    """Download the audio as a file named after artist and title, if the track's `downloads` and its gate let the caller."""
    view = await downloadable(services, caller, file_id)
    return await audio_file(request, services, reads, view)


@router.get("/audio/{file_id}/url")
async def read_url(file_id: str, caller: OptionalCaller, services: ServicesDep) -> Response:
    """Read where the audio is, to keep it; that of a gated track needs the same credential there."""
    view = await audible(services, caller, file_id)
    return AsciiJsonResponse(
        {
            "url": services.urls.audio(cast("Track", view)),
            "file_id": file_id,
            "file_type": view.audio.file_type,
        }
    )


@router.head("/audio/{file_id}.{extension}")
@router.get("/audio/{file_id}.{extension}")
async def play(
    request: Request,
    file_id: str,
    extension: str,
    caller: OptionalCaller,
    services: ServicesDep,
    *,
    reads: Reads,
) -> Response:
    """Play a track; a gated one is for its owner and supporters."""
    view = await audible(services, caller, file_id, extension)
    return await audio_bytes(request, services, reads, view)


@router.head("/audio/{file_id}")
@router.get("/audio/{file_id}")
async def play_any(
    request: Request, file_id: str, caller: OptionalCaller, services: ServicesDep, *, reads: Reads
) -> Response:
    """Play a track, whatever the type of its audio; a gated one is for its owner and supporters."""
    view = await audible(services, caller, file_id)
    return await audio_bytes(request, services, reads, view)
