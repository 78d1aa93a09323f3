"""Artists for the peer's clients, the caller's own profile, and a search of tracks, artists, albums, tags and playlists at once."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from zlib import crc32

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn, Writer
from api.json_response import AsciiJsonResponse, response_of, result_of
from api.openapi import names
from api.pipeline.idempotent_request import Idempotent
from api.plyr.reading import ROUTER, Reader
from api.plyr.track import album_bodies
from api.readers.search import artists_found
from api.responses.profile import artists_as, avatars_of
from api.routers.account.profile import save_profile
from api.routers.tracks.tracks import artist_of
from api.services import Services
from eventstore.streams.ids import peer_ids_of
from eventstore.untrusted import is_storable
from identity.accounts.accounts import accounts_of, handle_in
from identity.accounts.credentials import Principal
from identity.errors import INVALID_HANDLE
from projections.lists import playlists_named
from projections.tracks.queries import (
    TrackFilter,
    albums_named,
    tags_by_use,
    track_page,
)
from projections.tracks.table import normalized

router: Final = APIRouter(**ROUTER)


class ArtistResponse(BaseModel):
    did: str
    handle: str
    display_name: str
    bio: str | None
    avatar_url: str | None
    support_url: str | None
    show_liked_on_profile: bool = False
    created_at: datetime
    updated_at: datetime


def _artist(services: Services, name: str, caller: Principal | None) -> ArtistResponse:
    return artists_as(ArtistResponse, services, [artist_of(services, name)], caller)[0]


@router.get("/auth/me")
def read_caller(principal: SignedIn) -> Response:
    return AsciiJsonResponse(
        {
            "did": principal.did,
            "handle": principal.handle,
            "linked_accounts": [],
            "enabled_flags": [],
        }
    )


@router.get("/artists/me")
def read_own_profile(principal: SignedIn, services: ServicesDep) -> ArtistResponse:
    return _artist(services, principal.did, principal)


@router.get("/artists/by-handle/{name}")
@router.get("/artists/{name}")
def read_artist(name: str, caller: OptionalCaller, services: ServicesDep) -> ArtistResponse:
    return _artist(services, name, caller)


NOT_HELD: Final = ("avatar_url", "show_liked_on_profile")
"""What a profile has at the peer and not here; only the value that every profile has here is accepted."""


@router.put("/artists/me", openapi_extra=names("display_name", "bio", "support_url", *NOT_HELD))
async def edit_profile(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            for field in NOT_HELD:
                if attempt.body.fields.get(field) not in (None, "", False):
                    raise InvalidFieldError(field, "must not be sent: a profile has none here")
            await save_profile(services, did, attempt)
            await attempt.finish(result_of(await run_in_threadpool(_artist, services, did, principal)))
    return response_of(attempt.result)


Result = dict[str, Any]


class Search(BaseModel):
    """A search; `type` has kinds with commas between them, all when absent."""

    q: str = Field(min_length=2, max_length=100)
    type: str | None = None
    limit: int = Field(20, ge=1, le=50)


@router.get("/search")
@router.get("/search/")
def search(wanted: Annotated[Search, Query()], reader: Reader) -> Response:
    """Search for a text, in any case; the closer a name is to it, the higher its relevance. `limit` is for each kind."""
    kinds = _kinds(wanted.type) if is_storable(wanted.q) else ()
    with reader.services.database.read() as connection:
        finder = _Finder(connection, reader.services, reader.viewer, wanted.q, wanted.limit)
        found = {kind: find(finder) if kind in kinds else [] for kind, find in FINDS.items()}
    results = [each for of_kind in found.values() for each in of_kind]
    results.sort(key=lambda each: each["relevance"], reverse=True)
    counts = {kind: len(of_kind) for kind, of_kind in found.items()}
    return AsciiJsonResponse({"results": results, "counts": counts})


def _kinds(text: str | None) -> Collection[str]:
    kinds = FINDS.keys() if text is None else {name.strip().lower() for name in text.split(",")}
    if not kinds <= FINDS.keys():
        raise InvalidFieldError("type", f"must be one or more of: {', '.join(FINDS)}")
    return kinds


@dataclass(frozen=True)
class _Finder:
    """Finds a text in names, all from one snapshot."""

    connection: sa.Connection
    services: Services
    viewer: str | None
    q: str
    limit: int

    def tracks(self) -> list[Result]:
        page = track_page(self.connection, TrackFilter(q=self.q, owner=self.viewer), limit=self.limit)
        ids = peer_ids_of(self.connection, [view.track_id for view in page.items])
        accounts = accounts_of(self.connection, {view.did for view in page.items})
        return [
            {
                "type": "track",
                "id": ids[view.track_id],
                "title": view.title,
                "artist_handle": handle_in(accounts, view.did),
                "artist_display_name": view.artist,
                "image_url": self.services.urls.artwork(view.artwork.cid) if view.artwork else view.image_url,
                "relevance": self._relevance(view.title),
            }
            for view in page.items
        ]

    def artists(self) -> list[Result]:
        accounts = artists_found(self.connection, self.services, self.viewer, self.q, limit=self.limit)
        avatars = avatars_of(self.connection, self.services.urls, [account.did for account in accounts])
        return [
            {
                "type": "artist",
                "did": account.did,
                "handle": account.handle,
                "display_name": account.name,
                "avatar_url": avatars.get(account.did),
                "relevance": self._relevance(account.handle, account.name),
            }
            for account in accounts
        ]

    def albums(self) -> list[Result]:
        albums = albums_named(self.connection, self.viewer, self.q, limit=self.limit)
        accounts = accounts_of(self.connection, {album.did for album in albums})
        titles = {(album.did, album.title) for album in albums}
        bodies = album_bodies(self.connection, titles, self.services.urls, self.viewer)
        return [
            {
                "type": "album",
                **bodies[album.did, album.title].model_dump(include={"id", "title", "slug", "image_url"}),
                "artist_handle": handle_in(accounts, album.did),
                "artist_display_name": album.artist,
                "relevance": self._relevance(album.title),
            }
            for album in albums
            if (album.did, album.title) in bodies
        ]

    def tags(self) -> list[Result]:
        tags = tags_by_use(self.connection, self.viewer, part=self.q, limit=self.limit)
        return [
            {
                "type": "tag",
                "id": crc32(tag.name.encode()),  # a number is part of the contract; here the name is the key
                "name": tag.name,
                "track_count": tag.tracks,
                "relevance": self._relevance(tag.name),
            }
            for tag in tags
        ]

    def playlists(self) -> list[Result]:
        playlists = playlists_named(self.connection, self.q, limit=self.limit)
        accounts = accounts_of(self.connection, {each.did for each in playlists})
        return [
            {
                "type": "playlist",
                "id": str(each.list_id),
                "name": each.name,
                "owner_handle": handle_in(accounts, each.did),
                "owner_display_name": accounts[each.did].name if each.did in accounts else INVALID_HANDLE,
                "image_url": self.services.urls.artwork(each.artwork_cid) if each.artwork_cid else None,
                "track_count": each.track_count,
                "relevance": self._relevance(each.name),
            }
            for each in playlists
        ]

    def _relevance(self, *texts: str) -> float:
        """Return the greatest share of a text that the search is; 0 for a track that was found by its artist or album."""
        term = normalized(self.q)
        shares = [len(term) / len(text) for text in map(normalized, texts) if term in text]
        return round(max(shares, default=0.0), 3)


FINDS: Final[dict[str, Callable[[_Finder], list[Result]]]] = {
    "tracks": _Finder.tracks,
    "artists": _Finder.artists,
    "albums": _Finder.albums,
    "tags": _Finder.tags,
    "playlists": _Finder.playlists,
}
