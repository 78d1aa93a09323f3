"""Serves audio by the file id that a track names, with an extension or without."""

from typing import TYPE_CHECKING, Final, cast

from fastapi import APIRouter, Response

from api.json_response import AsciiJsonResponse
from api.pipeline.media_request import ForMedia
from api.plyr.reading import ROUTER

if TYPE_CHECKING:
    from aggregates.track import Track

router: Final = APIRouter(**{key: value for key, value in ROUTER.items() if key != "route_class"})
"""Unknown parameters are ignored, as those of our own links to audio are."""


@router.head("/audio/{file_id}/download")
@router.get("/audio/{file_id}/download")
async def download(file_id: str, request: ForMedia) -> Response:
    """Download the audio as a file named after artist and title, if the track's `downloads` and its gate let the caller."""
    return await request.download(file_id)


@router.get("/audio/{file_id}/url")
async def read_url(file_id: str, request: ForMedia) -> Response:
    """Read where the audio is, to keep it; that of a gated track needs the same credential there."""
    view = await request.audible(file_id)
    return AsciiJsonResponse(
        {
            "url": request.services.urls.audio(cast("Track", view)),
            "file_id": file_id,
            "file_type": view.audio.file_type,
        }
    )


@router.head("/audio/{file_id}.{extension}")
@router.get("/audio/{file_id}.{extension}")
async def play(file_id: str, extension: str, request: ForMedia) -> Response:
    """Play a track; a gated one is for its owner and supporters."""
    return await request.play(file_id, extension)


@router.head("/audio/{file_id}")
@router.get("/audio/{file_id}")
async def play_any(file_id: str, request: ForMedia) -> Response:
    """Play a track, whatever the type of its audio; a gated one is for its owner and supporters."""
    return await request.play(file_id)
