"""Playback and downloads: an open track is for all; a gated one is for its owner and the artist's supporters.

Who may download a track is among those who may play it, as its `downloads` says.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from aggregates.values import Downloads
from application.errors import (
    DownloadsOffError,
    MediaNotFoundError,
    NotAuthenticatedError,
    SupportersUnreachableError,
    SupportRequiredError,
)
from identity.accounts.credentials import Principal
from projections.tracks.table import TrackView

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
        return view.taken_down_at is not None or (caller is not None and view.did == caller.did)

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
