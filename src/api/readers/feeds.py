"""Reads listed tracks for feeds, the sitemap and frames, as a visitor sees them who is not signed in."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, cast

from pydantic import BaseModel

from aggregates.track import Track
from api.services import Services
from identity.accounts.accounts import accounts_of, handle_in
from identity.accounts.credentials import Principal
from outbox.tracks.record import RecordUrls
from projections.tracks.queries import TrackFilter, is_listed, newest_listed, track_page, tracks_of
from projections.tracks.table import TrackView

MAX_ITEMS: Final = 100
"""Of a feed; of an album, its first."""
MAX_ADDRESSES: Final = 1000
"""Of the newest tracks. Crawlers follow links from artists' pages to the older ones."""


class FeedItem(BaseModel):
    """A listed track; `audio_url` is null where only supporters hear it."""

    id: int
    title: str
    artist: str
    description: str | None
    created_at: str
    updated_at: datetime
    audio_url: str | None
    audio_bytes: int
    audio_type: str
    duration: int | None


class FeedBody(BaseModel):
    items: list[FeedItem]


def newest_of_artist(_caller: Principal | None, services: Services, did: str) -> FeedBody:
    """Return the listed tracks of an artist, newest first."""
    with services.database.read() as connection:
        return _feed(track_page(connection, TrackFilter(did), limit=MAX_ITEMS).items, services.urls)


def listed_of(_caller: Principal | None, services: Services, did: str, track_ids: Sequence[int]) -> FeedBody:
    """Return those of an artist's tracks that are listed, in this order."""
    with services.database.read() as connection:
        found = tracks_of(connection, track_ids[:MAX_ITEMS])
    views = (found[each] for each in track_ids if each in found)
    return _feed((view for view in views if view.did == did and is_listed(view)), services.urls)


def _feed(views: Iterable[TrackView], urls: RecordUrls) -> FeedBody:
    return FeedBody(items=[_item(view, urls) for view in views])


def _item(view: TrackView, urls: RecordUrls) -> FeedItem:
    return FeedItem(
        id=view.track_id,
        title=view.title,
        artist=view.artist,
        description=view.description,
        created_at=view.created_at,
        updated_at=view.updated_at,
        audio_url=None if view.support_gate else urls.audio(cast("Track", view)),
        audio_bytes=view.audio.size,
        audio_type=view.audio.mime,
        duration=view.audio.duration,
    )


class Address(BaseModel):
    """Of a track's page."""

    id: int
    artist_handle: str
    artist_did: str
    updated_at: datetime


class AddressesBody(BaseModel):
    items: list[Address]


def newest_addresses(_caller: Principal | None, services: Services) -> AddressesBody:
    with services.database.read() as connection:
        rows = newest_listed(connection, limit=MAX_ADDRESSES)
        accounts = accounts_of(connection, {row.did for row in rows})
    return AddressesBody(
        items=[
            Address(
                id=row.track_id,
                artist_handle=handle_in(accounts, row.did),
                artist_did=row.did,
                updated_at=row.updated_at,
            )
            for row in rows
        ]
    )
