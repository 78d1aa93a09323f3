"""Reads single tracks, and lists of them."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from api.json_response import AsciiJsonResponse
from api.plyr.reading import DEFAULT_LENGTH, MAX_LENGTH, ROUTER, PeerTrackId, Reader
from api.requests.parameters import cursor_of, track_at
from projections.tracks.queries import TrackFilter, track_by_id, track_page
from projections.tracks.view import TrackView

router: Final = APIRouter(**ROUTER)


class Listing(BaseModel):
    """A filter of tracks; no tag is hidden here, so that `filter_hidden_tags` finds none to hide."""

    artist_did: str | None = None
    tags: list[str] = []
    filter_hidden_tags: bool | None = None
    cursor: str | None = None
    limit: int = DEFAULT_LENGTH


@router.get("/tracks")
@router.get("/tracks/")
async def list_tracks(wanted: Annotated[Listing, Query()], reader: Reader) -> Response:
    """List tracks, newest first; `limit` above 100 is 100, and `has_more` says so."""
    cursor, limit = cursor_of(wanted.cursor), max(1, min(wanted.limit, MAX_LENGTH))
    which = TrackFilter(artist=wanted.artist_did, tags=tuple(wanted.tags), owner=reader.viewer)
    tracks, page = await reader.page(lambda found: track_page(found, which, cursor=cursor, limit=limit))
    more = None if page.cursor is None else str(page.cursor)
    return AsciiJsonResponse({"tracks": tracks, "next_cursor": more, "has_more": more is not None})


@router.get("/tracks/by-uri")
async def read_track_by_uri(uri: str, reader: Reader) -> Response:
    """Read the track whose record has this AT-URI, or had it before it changed namespace; it names the artist's DID."""

    def find(connection: Connection) -> TrackView | None:
        track_id = track_at(connection, uri)
        return track_by_id(connection, track_id) if track_id is not None else None

    return AsciiJsonResponse(await reader.one(find))


@router.get("/tracks/top")
async def list_top_tracks(reader: Reader, limit: Annotated[int, Query(ge=1, le=MAX_LENGTH)] = 10) -> Response:
    """List tracks by their likes: since there are none here, newest first."""
    which = TrackFilter(owner=reader.viewer)
    return AsciiJsonResponse(await reader.tracks(lambda found: track_page(found, which, limit=limit).items))


read_one: Final = APIRouter(**ROUTER)
"""After all routes with a word in the place of the id."""


@read_one.get("/tracks/{track_id}")
async def read_track(track_id: PeerTrackId, reader: Reader) -> Response:
    """Read a track."""
    return AsciiJsonResponse(await reader.one(lambda found: track_by_id(found, track_id)))
