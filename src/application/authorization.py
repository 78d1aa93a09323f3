"""Which tracks an account may see, play and download, in which state, and which audio it may have twice.

An open track is for all to play; a gated one is for its owner and the artist's supporters.
"""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import sqlalchemy as sa

from aggregates.values import Downloads
from application.errors import (
    DownloadsOffError,
    DuplicateAudioError,
    MediaNotFoundError,
    NotAuthenticatedError,
    SupportersUnreachableError,
    SupportRequiredError,
    TrackNotFoundError,
)
from identity.accounts.credentials import Principal, did_of
from projections.lists import Cover
from projections.tracks.queries import live_tracks_with_audio, track_by_id
from projections.tracks.table import TrackView


def require_no_duplicate(
    connection: sa.Connection, did: str, audio_cid: str, *, but: int | None = None
) -> None:
    """Raise DuplicateAudioError if another live track than `but` has this audio; an adopted track may keep a duplicate."""
    view = track_by_id(connection, but) if but is not None else None
    if view is not None and view.adopted:
        return
    other = live_tracks_with_audio(connection, did, [audio_cid]).get(audio_cid)
    if other is not None and other != but:
        raise DuplicateAudioError(other)


def may_see(caller: Principal | None, owner: str, taken_down_at: datetime | None) -> bool:
    """Whether the caller may know of what this account has: of what was taken down, only its owner and operators may."""
    return taken_down_at is None or (caller is not None and (caller.did == owner or caller.operator))


def require_shown(caller: Principal | None, view: TrackView | None) -> TrackView:
    """Return a live track that the caller may know of; raises TrackNotFoundError for any other."""
    if view is None or view.deleted_at is not None or not may_see(caller, view.did, view.taken_down_at):
        raise TrackNotFoundError
    return view


def may_have_bytes(caller: Principal | None, of: TrackView | Cover | sa.Row[Any]) -> bool:
    """Whether the caller may have bytes at all: those of what was taken down are for admins only."""
    return of.taken_down_at is None or (caller is not None and caller.admin)


MAX_ASKED_AT_ONCE: Final = 8
"""Artists of one list; playback asks the same service."""
MAX_ASKING_SECONDS: Final = 3.0


class Supporters(Protocol):
    """Knows the supporters of artists; service/wiring/adapters.py asks over HTTP."""

    async def supports(self, artist: str, supporter: str) -> bool:
        """Whether `supporter` supports `artist` (DIDs); raises SupportersUnreachableError."""


async def admit(
    caller: Principal | None,
    views: Sequence[TrackView],
    supporters: Supporters | None,
    *,
    is_download: bool = False,
) -> TrackView:
    """Return one of these tracks, which have the same bytes, that the caller may hear, or download.

    Raises MediaNotFoundError, NotAuthenticatedError, SupportRequiredError, SupportersUnreachableError or DownloadsOffError.
    """
    if not views:
        raise MediaNotFoundError

    def is_exempt(view: TrackView) -> bool:
        """Whether no limit holds: the caller's own track, or one that was taken down, which only admins get."""
        return view.taken_down_at is not None or view.did == did_of(caller)

    refused, limited = (Downloads.OFF, Downloads.SUPPORTERS) if is_download else (None, None)
    offered = [view for view in views if view.downloads is not refused or is_exempt(view)]
    if not offered:
        raise DownloadsOffError
    for view in offered:
        if is_exempt(view) or (view.support_gate is None and view.downloads is not limited):
            return view
    return await _supported(caller, offered, supporters)


async def _supported(
    caller: Principal | None, views: Sequence[TrackView], supporters: Supporters | None
) -> TrackView:
    if caller is None:
        raise NotAuthenticatedError
    if supporters is None:
        raise SupportRequiredError
    unreachable: SupportersUnreachableError | None = None
    for artist, view in {view.did: view for view in views}.items():
        try:
            if await supporters.supports(artist, caller.did):
                return view
        except SupportersUnreachableError as error:
            unreachable = error
    raise unreachable or SupportRequiredError


async def supported_artists(
    caller: Principal, artists: Collection[str], supporters: Supporters | None
) -> set[str]:
    """Return those artists (DIDs) whom the caller supports, as far as the service that knows answers in MAX_ASKING_SECONDS."""
    if supporters is None or not artists:
        return set()
    known, turns = supporters, asyncio.Semaphore(MAX_ASKED_AT_ONCE)

    async def is_supported(artist: str) -> bool:
        async with turns:
            try:
                return await known.supports(artist, caller.did)
            except SupportersUnreachableError:
                return False

    asked = {asyncio.create_task(is_supported(artist)): artist for artist in artists}
    try:
        answered, _ = await asyncio.wait(asked, timeout=MAX_ASKING_SECONDS)
        return {asked[each] for each in answered if each.result()}
    finally:
        for each in asked:
            each.cancel()
