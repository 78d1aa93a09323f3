"""Reads tracks: single ones, lists of them, those of a tag, and the caller's own."""

from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from aggregates.values import tag_as_stored
from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.plyr.reading import DEFAULT_LENGTH, MAX_LENGTH, ROUTER, OwnReader, PeerReader, PeerTrackId, Reader
from api.requests.parameters import cursor_of, track_at
from api.responses.my_tracks import MyTracksFilter, audio_sizes, own_page, without_record
from eventstore.streams.track_ids import peer_ids_of
from projections.tracks.catalogue import tags_by_use, track_count
from projections.tracks.queries import TrackFilter, track_by_id, track_page
from projections.tracks.view import TrackView

router: Final = APIRouter(**ROUTER)


class Order(StrEnum):
    """The peer's orders; no plays are counted here, so that by plays is newest first."""

    RECENT = "recent"
    TITLE = "title"
    PLAYS = "plays"


class OwnListing(BaseModel):
    """A page of the caller's tracks."""

    limit: int = Field(DEFAULT_LENGTH, ge=1, le=MAX_LENGTH)
    offset: int = Field(0, ge=0, le=2**31)
    q: str | None = None
    sort: Order = Order.RECENT


@router.get("/tracks/me")
async def list_own_tracks(
    wanted: Annotated[OwnListing, Query()], principal: SignedIn, reader: OwnReader
) -> Response:
    """List the caller's tracks, unlisted ones too."""
    which, by_title = MyTracksFilter(principal.did, q=wanted.q or None), wanted.sort is Order.TITLE
    tracks, page = await reader.page(
        lambda found: own_page(found, which, by_title=by_title, offset=wanted.offset, limit=wanted.limit)
    )
    return AsciiJsonResponse(
        {
            "tracks": tracks,
            "total": page.total,
            "has_more": wanted.offset + len(tracks) < page.total,
            "pds_savable_count": page.copyable,
        }
    )


@router.get("/tracks/me/broken")
async def list_broken_tracks(principal: SignedIn, reader: OwnReader) -> Response:
    """List the caller's tracks whose record another client deleted."""
    tracks = await reader.tracks(lambda found: without_record(found, principal.did))
    return AsciiJsonResponse({"tracks": tracks, "count": len(tracks)})


@router.get("/tracks/me/file-sizes")
def read_file_sizes(principal: SignedIn, services: ServicesDep) -> Response:
    """Read the bytes of the audio of each of the caller's tracks."""
    with services.database.read() as connection:
        sizes = audio_sizes(connection, principal.did)
        shown_as = peer_ids_of(connection, sizes)
    return AsciiJsonResponse({"sizes": {str(shown_as[track_id]): size for track_id, size in sizes.items()}})


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
