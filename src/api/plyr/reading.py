"""Reads tracks for the peer's clients: single ones, lists of them, those of a tag, the caller's own, and their audio."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar, cast

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from aggregates.tracks.track import Track
from aggregates.values import tag_as_stored
from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse, opaque
from api.middleware.rate_limits import PREFIX
from api.middleware.request_threads import in_thread
from api.pipeline.command_request import Respond
from api.pipeline.media_request import ForMedia
from api.plyr.track import TrackResponse, track_responses, with_gates_open
from api.requests.parameters import NO_TRACK, DeferredRoute, StrictRoute, TrackId, cursor_of, subject_at
from api.routers.tracks.tracks import MyListing, OwnPage, audio_sizes, own_page, without_record
from api.services import Services
from application.authorization import require_shown
from eventstore.idempotency import CommandResult
from eventstore.streams.ids import peer_ids_of, track_id_of
from identity.accounts.credentials import Principal, did_of
from projections.reaction_queries import most_liked
from projections.tracks.queries import (
    TrackFilter,
    TrackPage,
    tags_by_use,
    track_by_id,
    track_count,
    track_page,
)
from projections.tracks.table import TrackView

ROUTER: Final[dict[str, Any]] = {"prefix": PREFIX, "route_class": StrictRoute, "include_in_schema": False}
"""The options of each router in this room; OpenAPI has our own routes alone, since these follow another service's contract."""


def says(**fields: Any) -> Respond:
    """Answer a command with these fields, whatever it has changed."""
    return lambda _reader, _subject: CommandResult(200, fields, {})


router: Final = APIRouter(**ROUTER)
DEFAULT_LENGTH: Final = 50
MAX_LENGTH: Final = 100
MAX_LISTED: Final = 500
"""Of what the peer's clients ask for all at once: the newest."""

Json = dict[str, Any]


P = TypeVar("P", OwnPage, TrackPage)


class PeerReader:
    """Reads tracks as the caller is shown them."""

    def __init__(self, caller: Principal | None, services: Services) -> None:
        self.caller = caller
        self.services = services

    @property
    def viewer(self) -> str | None:
        return did_of(self.caller)

    async def one(self, find: Callable[[sa.Connection], TrackView | None]) -> Json:
        """Return the track that `find` finds as JSON; raises TrackNotFoundError where it is not for the caller."""
        [track] = await self.tracks(lambda connection: [require_shown(self.caller, find(connection))])
        return track

    async def tracks(self, read: Callable[[sa.Connection], Sequence[TrackView]]) -> list[Json]:
        def responses() -> list[TrackResponse]:
            with self.services.database.read() as connection:
                return track_responses(connection, read(connection), self.services.urls, self.caller)

        found = await in_thread(responses)
        return await with_gates_open(found, self.caller, self.services.supporters)

    async def page(self, read: Callable[[sa.Connection], P]) -> tuple[list[Json], P]:
        pages: list[P] = []

        def items(connection: sa.Connection) -> Sequence[TrackView]:
            pages.append(read(connection))
            return pages[0].items

        return await self.tracks(items), pages[0]


async def reader(caller: OptionalCaller, services: ServicesDep) -> PeerReader:
    return PeerReader(caller, services)


Reader = Annotated[PeerReader, Depends(reader)]


async def track_behind(track_id: TrackId, services: ServicesDep, _caller: OptionalCaller) -> int:
    """Return our id of the track that the peer's clients know by this number."""

    def find() -> int | None:
        with services.database.read() as connection:
            return track_id_of(connection, track_id)

    found = await in_thread(find)
    return NO_TRACK if found is None else found


PeerTrackId = Annotated[int, Depends(track_behind)]
"""In place of `TrackId`, in the routes under `/plyr`."""


class Order(StrEnum):
    """The peer's orders; no plays are counted here, so that by plays is newest first."""

    RECENT = "recent"
    TITLE = "title"
    PLAYS = "plays"


class OwnListing(BaseModel):
    limit: int = Field(DEFAULT_LENGTH, ge=1, le=MAX_LENGTH)
    offset: int = Field(0, ge=0, le=2**31)
    q: str | None = None
    sort: Order = Order.RECENT


@router.get("/tracks/me")
async def list_own_tracks(
    wanted: Annotated[OwnListing, Query()], principal: SignedIn, reader: Reader
) -> Response:
    which, by_title = MyListing(q=wanted.q or None), wanted.sort is Order.TITLE
    tracks, page = await reader.page(
        lambda found: own_page(
            found, principal.did, which, by_title=by_title, offset=wanted.offset, limit=wanted.limit
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
async def list_broken_tracks(principal: SignedIn, reader: Reader) -> Response:
    tracks = await reader.tracks(lambda found: without_record(found, principal.did))
    return AsciiJsonResponse({"tracks": tracks, "count": len(tracks)})


@router.get("/tracks/me/file-sizes")
def read_file_sizes(principal: SignedIn, services: ServicesDep) -> Response:
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

    def count() -> int:
        with reader.services.database.read() as connection:
            return track_count(connection, reader.viewer, tag)

    tracks, page = await reader.page(lambda found: track_page(found, which, cursor=before, limit=limit))
    with_tag = await in_thread(count)
    more = opaque(page.cursor)
    return AsciiJsonResponse(
        {
            "tag": {"name": tag_as_stored(tag), "track_count": with_tag},
            "tracks": tracks,
            "created_by_handle": None,
            "next_cursor": more,
            "has_more": more is not None,
        }
    )


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
    more = opaque(page.cursor)
    return AsciiJsonResponse({"tracks": tracks, "next_cursor": more, "has_more": more is not None})


@router.get("/tracks/by-uri")
async def read_track_by_uri(uri: str, reader: Reader) -> Response:
    """Read the track whose record has this AT-URI, or had it before it changed namespace; it names the artist's DID."""

    def find(connection: sa.Connection) -> TrackView | None:
        track_id = subject_at(connection, uri, Track)
        return track_by_id(connection, track_id) if track_id is not None else None

    return AsciiJsonResponse(await reader.one(find))


PERIODS: Final = {"all_time": None, "month": 30, "week": 7, "day": 1}
"""The peer's, in days."""
MAX_TOP: Final = 50


@router.get("/tracks/top")
async def list_top_tracks(
    reader: Reader, limit: int = 10, period: Literal["all_time", "month", "week", "day"] = "all_time"
) -> Response:
    """List the tracks with the most likes, of all time or of the days until now; `limit` above 50 is 50."""
    days = PERIODS[period]

    def top(connection: sa.Connection) -> Sequence[TrackView]:
        now = reader.services.database.now(connection)
        since = (now - timedelta(days=days)).isoformat() if days is not None else None
        return most_liked(connection, since, max(1, min(limit, MAX_TOP)))

    return AsciiJsonResponse(await reader.tracks(top))


read_one: Final = APIRouter(**ROUTER)
"""After all routes with a word in the place of the id."""


@read_one.get("/tracks/{track_id}")
async def read_track(track_id: PeerTrackId, reader: Reader) -> Response:
    return AsciiJsonResponse(await reader.one(lambda found: track_by_id(found, track_id)))


LENIENT: Final[dict[str, Any]] = ROUTER | {"route_class": DeferredRoute}
bytes_router: Final = APIRouter(**LENIENT)
"""Unknown parameters are ignored, as those of our own links to audio are."""
READ: Final = ["GET", "HEAD"]


@bytes_router.api_route("/audio/{file_id}/download", methods=READ)
async def download(file_id: str, request: ForMedia) -> Response:
    """Download the audio as a file named after artist and title, if the track's `downloads` and its gate let the caller."""
    return await request.download(file_id)


@bytes_router.get("/audio/{file_id}/url")
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


@bytes_router.api_route("/audio/{file_id}.{extension}", methods=READ)
async def play(file_id: str, extension: str, request: ForMedia) -> Response:
    return await request.play(file_id, extension)


@bytes_router.api_route("/audio/{file_id}", methods=READ)
async def play_any(file_id: str, request: ForMedia) -> Response:
    return await request.play(file_id)
