"""Serves audio and covers, whole or in ranges, as long as a live track names them."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.openapi import errors
from api.pipeline.media_request import ForMedia

router = APIRouter(tags=["media"])

Cid = Annotated[str, Path(description="the CID of the bytes")]
Extension = Annotated[str, Path(description="the `file_type` of the track")]


@router.head("/audio/{cid}.{extension}", include_in_schema=False)
@router.get(
    "/audio/{cid}.{extension}",
    responses=errors(401, 402, 404, 416, 422, 503),
    response_class=Response,
)
async def audio(cid: Cid, extension: Extension, request: ForMedia) -> Response:
    """Play a track. A gated one is for its owner and supporters, one that was taken down for admins only."""
    return await request.play(cid, extension)


@router.get(
    "/audio/{cid}.{extension}/download",
    responses=errors(401, 402, 403, 404, 416, 422, 503),
    response_class=Response,
)
async def download(cid: Cid, extension: Extension, request: ForMedia) -> Response:
    """Download a track as a file, if its `downloads` and its gate let the caller. What can be played can be recorded."""
    return await request.download(cid, extension)


@router.head("/artwork/{cid}", include_in_schema=False)
@router.get("/artwork/{cid}", responses=errors(404, 416, 422, 503), response_class=Response)
async def artwork(cid: Cid, request: ForMedia) -> Response:
    """Read a cover or a thumbnail; covers are never gated. That of a track that was taken down is for admins only."""
    return await request.show(cid)
