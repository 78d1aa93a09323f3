"""Reading tracks."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from api.caller import Anybody, Parts
from api.documented import errors
from api.json_response import AsciiJsonResponse
from api.paging import USUAL_PAGE, cursor_of, limit_of
from api.refusals import TrackNotFoundError
from api.services import Services
from api.track_body import TrackBody
from api.track_path import TrackId
from api.track_reader import one_track, track_bodies
from identity.accounts import Accounts
from projections.track_queries import TrackFilter, track_page

router = APIRouter(tags=["tracks"])


class TrackPageBody(BaseModel):
    """Some tracks, newest first, and the cursor of the next page when there is one."""

    items: list[TrackBody]
    cursor: str | None


class Listing(BaseModel):
    """Which tracks to list."""

    artist: str | None = None
    tag: str | None = None
    album: str | None = None
    q: str | None = None
    cursor: str | None = None
    limit: int = USUAL_PAGE


@router.get("/tracks", response_model=TrackPageBody, responses=errors(400, 422, 503))
def list_tracks(wanted: Annotated[Listing, Query()], caller: Anybody, parts: Parts) -> Response:
    """List tracks, newest first. Unlisted ones are hidden, but from their owner."""
    cursor, limit = cursor_of(wanted.cursor), limit_of(wanted.limit)
    artist = _did_of(wanted.artist, parts.accounts)
    if wanted.artist is not None and artist is None:
        return _page([], None)
    which = TrackFilter(artist, wanted.tag, wanted.album, wanted.q, caller.did if caller else None)
    with parts.database.read() as connection:
        page = track_page(connection, which, cursor=cursor, limit=limit)
        return _page(track_bodies(connection, page.items, parts.urls), page.cursor)


@router.get("/tracks/{track_id}", response_model=TrackBody, responses=errors(404, 422, 503))
def read_track(track_id: TrackId, parts: Parts) -> Response:
    """Read a track; its ETag is its version."""
    track = _live_track(parts, track_id)
    return AsciiJsonResponse(track.model_dump(mode="json"), headers={"ETag": track.etag})


def _live_track(parts: Services, track_id: int) -> TrackBody:
    with parts.database.read() as connection:
        track = one_track(connection, track_id, parts.urls)
    if track.deleted_at is not None:
        raise TrackNotFoundError
    return track


def _did_of(artist: str | None, accounts: Accounts) -> str | None:
    if artist is None or artist.startswith("did:"):
        return artist
    if not artist.isascii() or "\0" in artist:
        return None
    account = accounts.by_handle(artist)
    return account.did if account is not None else None


def _page(items: list[TrackBody], cursor: int | None) -> Response:
    page = TrackPageBody(items=items, cursor=None if cursor is None else str(cursor))
    return AsciiJsonResponse(page.model_dump(mode="json"))
