"""Reads the caller's own tracks."""

from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.plyr.reading import DEFAULT_LENGTH, MAX_LENGTH, ROUTER, OwnReader
from eventstore.streams.track_ids import peer_ids_of
from projections.tracks.own_tracks import Sort, audio_sizes, own_page, without_record

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
    sort = Sort.TITLE if wanted.sort is Order.TITLE else Sort.RECENT
    tracks, page = await reader.page(
        lambda found: own_page(
            found, principal.did, q=wanted.q or None, sort=sort, offset=wanted.offset, limit=wanted.limit
        )
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
