"""Reads listed tracks for feeds, the sitemap and frames, as a visitor sees them who is not signed in."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, cast

from pydantic import BaseModel

from aggregates.tracks.track import Track
from api.json_response import Page, body_from, opaque
from api.requests.parameters import cursor_of
from api.services import Services
from eventstore.streams.buckets import BUCKETS
from eventstore.streams.ids import boundary_of
from identity.accounts.accounts import accounts_of, handle_in
from identity.accounts.credentials import Principal
from outbox.tracks.record import RecordUrls
from projections.tracks.queries import TrackFilter, is_listed, newest_listed, track_page, tracks_of
from projections.tracks.table import TrackView

MAX_ITEMS: Final = 100
"""Of a page of a feed; of an album in a frame, its first."""
MAX_ADDRESSES: Final = 5000
"""Of a sitemap."""


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


def newest_of_artist(
    _caller: Principal | None, services: Services, did: str, cursor: str | None
) -> Page[FeedItem]:
    """Return the listed tracks of an artist, newest first."""
    with services.database.read() as connection:
        page = track_page(connection, TrackFilter(did), cursor=cursor_of(cursor), limit=MAX_ITEMS)
    return _feed(page.items, services.urls, opaque(page.cursor))


def listed_of(
    _caller: Principal | None,
    services: Services,
    did: str,
    track_ids: Sequence[int],
    cursor: str | None = None,
) -> Page[FeedItem]:
    """Return those of an artist's tracks that are listed, in this order; the cursor is how many of the order came before."""
    start = cursor_of(cursor) or 0
    end = start + MAX_ITEMS
    some = track_ids[start:end]
    with services.database.read() as connection:
        found = tracks_of(connection, some)
    views = (found[each] for each in some if each in found)
    listed = (view for view in views if view.did == did and is_listed(view))
    return _feed(listed, services.urls, opaque(end) if len(track_ids) > end else None)


def _feed(views: Iterable[TrackView], urls: RecordUrls, cursor: str | None) -> Page[FeedItem]:
    items = [
        body_from(
            FeedItem,
            view,
            id=view.track_id,
            audio_url=None if view.support_gate else urls.audio(cast("Track", view)),
            audio_bytes=view.audio.size,
            audio_type=view.audio.mime,
            duration=view.audio.duration,
        )
        for view in views
    ]
    return Page[FeedItem](items=items, cursor=cursor)


class Address(BaseModel):
    """Of a track's page."""

    id: int
    artist_handle: str
    artist_did: str
    updated_at: datetime


class AddressesBody(BaseModel):
    """The pages of listed tracks; or, where they are too many for one sitemap, between which ids to ask for them."""

    items: list[Address]
    parts: list[tuple[int, int]]


def addresses(_caller: Principal | None, services: Services, ids: tuple[int, int] | None) -> AddressesBody:
    """Return the pages of listed tracks whose ids are from the first of `ids` on and below the second; of all without them."""
    with services.database.read() as connection:
        rows = newest_listed(connection, ids, limit=MAX_ADDRESSES + 1)
        if ids is None and len(rows) > MAX_ADDRESSES:
            parts = parts_of(boundary_of(connection), rows[0].track_id)
            return AddressesBody(items=[], parts=parts)
        accounts = accounts_of(connection, {row.did for row in rows})
    return AddressesBody(
        items=[
            body_from(
                Address, row, id=row.track_id, artist_handle=handle_in(accounts, row.did), artist_did=row.did
            )
            for row in rows[:MAX_ADDRESSES]
        ],
        parts=[],
    )


def parts_of(boundary: int, newest: int) -> list[tuple[int, int]]:
    """Divide the ids up to the newest so that no part has more than MAX_ADDRESSES: of BUCKETS newer ids, at most one was issued."""
    older = ((start, min(start + MAX_ADDRESSES, boundary)) for start in range(0, boundary, MAX_ADDRESSES))
    step = MAX_ADDRESSES * BUCKETS
    return [*older, *((start, start + step) for start in range(boundary, newest + 1, step))]
