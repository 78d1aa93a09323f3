"""Serves audio, covers and their renditions, whole or in ranges, as long as a live track names them."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from api.json_response import AsciiJsonResponse, body_from
from api.openapi import errors
from api.pipeline.media_request import ForMedia
from api.pipeline.past import AsOf, Listening
from api.requests.parameters import DeferredRoute, StrictRoute, TrackId
from storage.artwork import RENDITION_SIZES

router = APIRouter(tags=["media"], route_class=DeferredRoute)
of_tracks = APIRouter(tags=["media"], route_class=StrictRoute)

Cid = Annotated[str, Path(description="the CID of the bytes")]
SIZE: Final[dict[str, Any]] = {
    "description": "pixels of the longer side, at most; of the smallest, which is a square, of both",
    "json_schema_extra": {"enum": list(RENDITION_SIZES)},
}
Size = Annotated[int | None, Query(**SIZE)]
Extension = Annotated[str, Path(description="the `file_type` of the track")]


class CoverQuery(AsOf):
    size: int | None = Field(None, **SIZE)


@router.head("/audio/{cid}.{extension}", include_in_schema=False)
@router.get(
    "/audio/{cid}.{extension}",
    responses=errors(401, 402, 404, 416, 422, 429, 503),
    response_class=Response,
)
async def audio(cid: Cid, extension: Extension, request: ForMedia) -> Response:
    """Play a track. A gated one is for its owner and supporters, one that was taken down for admins only."""
    return await request.play(cid, extension)


@router.get(
    "/audio/{cid}.{extension}/download",
    responses=errors(401, 402, 403, 404, 416, 422, 429, 503),
    response_class=Response,
)
async def download(cid: Cid, extension: Extension, request: ForMedia) -> Response:
    """Download a track as a file, if its `downloads` and its gate let the caller. What can be played can be recorded."""
    return await request.download(cid, extension)


@router.head("/artwork/{cid}", include_in_schema=False)
@router.get("/artwork/{cid}", responses=errors(400, 404, 416, 422, 429, 503), response_class=Response)
async def artwork(cid: Cid, request: ForMedia, size: Size = None) -> Response:
    """Read a cover or a thumbnail; covers are never gated. That of a track that was taken down is for admins only.

    With a `size`, the answer is a WebP image; it is the cover itself until the smaller ones have been made.
    """
    return await request.show(cid, _checked(size))


@of_tracks.head("/tracks/{track_id}/artwork", include_in_schema=False)
@of_tracks.get("/tracks/{track_id}/artwork", responses=errors(401, 403, 416), response_class=Response)
async def artwork_of_track(
    track_id: TrackId, wanted: Annotated[CoverQuery, Query()], request: ForMedia
) -> Response:
    """Read the cover that the track has now. One that its record names at another host comes from here, once it was fetched.

    With `version` or `at` it is the cover of then, for the owner of the track and operators, as long as it is kept.
    """
    size = _checked(wanted.size)
    if wanted.version is None and wanted.at is None:
        return await request.show_of_track(track_id, size)
    return await request.show_past(track_id, wanted, size)


class WaveformBody(BaseModel):
    """The loudest moments of equal parts of the audio, at most 800, its duration in seconds, and how loud it is."""

    peaks: list[int] = Field(description="from 0, silent, to 255, the loudest that a file can be")
    duration: float
    loudness: float | None = Field(
        description="of the parts that are not quiet, in dB below full scale; null until it is measured"
    )


@of_tracks.get("/tracks/{track_id}/waveform", response_model=WaveformBody, responses=errors(401, 402, 403))
async def waveform(track_id: TrackId, wanted: Annotated[Listening, Query()], request: ForMedia) -> Response:
    """Read the waveform of a track, for those who may play it. It is computed soon after an upload, for wav, flac, ogg, mp3 and aiff.

    With `version` or `at` it is that of the audio of then, for the owner of the track, operators, and who has its `listening_key`.
    """
    found, headers = await request.waveform(track_id, wanted)
    return AsciiJsonResponse(body_from(WaveformBody, found, peaks=list(found.peaks)), headers=headers)


def _checked(size: int | None) -> int | None:
    if size not in {None, *RENDITION_SIZES}:
        raise InvalidFieldError("size", f"must be one of: {', '.join(map(str, RENDITION_SIZES))}")
    return size
