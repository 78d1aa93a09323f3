"""Reads tags, and the tracks that have one."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from aggregates.values import tag_as_stored
from api.json_response import AsciiJsonResponse
from api.plyr.reading import MAX_LENGTH, ROUTER, PeerReader, Reader
from api.requests.parameters import cursor_of
from projections.tracks.catalogue import tags_by_use, track_count
from projections.tracks.queries import TrackFilter, track_page

router: Final = APIRouter(**ROUTER)


@router.get("/tracks/tags")
def list_tags(
    reader: Reader, q: str = "", limit: Annotated[int, Query(ge=1, le=MAX_LENGTH)] = 20
) -> Response:
    """List tags, the most used first; `q` is how they begin."""
    with reader.services.database.read() as connection:
        tags = tags_by_use(connection, reader.viewer, begins=q, limit=limit)
    return AsciiJsonResponse([{"name": tag.name, "track_count": tag.tracks} for tag in tags])


@router.get("/tracks/tags/{tag}")
async def list_tracks_of_tag(
    tag: str,
    reader: Reader,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LENGTH)] = MAX_LENGTH,
) -> Response:
    """List the tracks that have a tag, newest first, a page at a time."""
    before, which = cursor_of(cursor), TrackFilter(tags=(tag,), owner=reader.viewer)
    tracks, page = await reader.page(lambda found: track_page(found, which, cursor=before, limit=limit))
    with_tag = await run_in_threadpool(_track_count, reader, tag)
    more = None if page.cursor is None else str(page.cursor)
    return AsciiJsonResponse(
        {
            "tag": {"name": tag_as_stored(tag), "track_count": with_tag},
            "tracks": tracks,
            "created_by_handle": None,
            "next_cursor": more,
            "has_more": more is not None,
        }
    )


def _track_count(reader: PeerReader, tag: str) -> int:
    with reader.services.database.read() as connection:
        return track_count(connection, reader.viewer, tag)
