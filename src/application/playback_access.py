"""Playback: an open track is for all; a gated one is for its owner and the artist's supporters."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Protocol

from application.errors import (
    MediaNotFoundError,
    NotAuthenticatedError,
    SupportersUnreachableError,
    SupportRequiredError,
)
from identity.accounts.credentials import Principal
from projections.track_view import TrackView


class Supporters(Protocol):
    """Knows the supporters of artists; service/wiring/supporters_client.py asks over HTTP."""

    async def supports(self, artist: str, supporter: str) -> bool:
        """Whether `supporter` supports `artist` (DIDs); raises SupportersUnreachableError."""


async def admit(
    caller: Principal | None, views: Sequence[TrackView], supporters: Supporters | None
) -> TrackView:
    """Return one of these tracks, which have the same bytes, that the caller may hear.

    Raises MediaNotFoundError, NotAuthenticatedError, SupportRequiredError or SupportersUnreachableError.
    """
    if not views:
        raise MediaNotFoundError
    for view in views:
        is_for_admins = view.taken_down_at is not None  # the caller got such a view as an admin
        if view.support_gate is None or is_for_admins or (caller is not None and view.did == caller.did):
            return view
    if caller is None:
        raise NotAuthenticatedError
    if supporters is None:
        raise SupportRequiredError
    return await _supported(caller, views, supporters)


async def supported_artists(
    caller: Principal, artists: Collection[str], supporters: Supporters | None
) -> set[str]:
    """Return those artists (DIDs) whom the caller supports, as far as the service that knows answers."""
    if supporters is None:
        return set()
    known = supporters

    async def is_supported(artist: str) -> bool:
        try:
            return await known.supports(artist, caller.did)
        except SupportersUnreachableError:
            return False

    answers = await asyncio.gather(*map(is_supported, artists))
    return {artist for artist, is_one in zip(artists, answers, strict=True) if is_one}


async def _supported(caller: Principal, views: Sequence[TrackView], supporters: Supporters) -> TrackView:
    unreachable: SupportersUnreachableError | None = None
    for artist, view in {view.did: view for view in views}.items():
        try:
            if await supporters.supports(artist, caller.did):
                return view
        except SupportersUnreachableError as error:
            unreachable = error
    raise unreachable or SupportRequiredError
