"""Who may hear a track: everybody, or for a gated one its owner and those whom somebody vouches for."""

from collections.abc import Sequence
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
    """Who knows whether somebody supports an artist; service/wiring/supporters_client.py asks over HTTP."""

    async def vouch(self, artist: str, supporter: str) -> bool:
        """Whether `supporter` supports `artist`; raises SupportersUnreachableError when nobody says."""


async def admit(
    caller: Principal | None, views: Sequence[TrackView], supporters: Supporters | None
) -> TrackView:
    """Return a track, of those with the same bytes, that the caller may hear; refuse when there is none."""
    if not views:
        raise MediaNotFoundError
    for view in views:
        judges = view.taken_down_at is not None  # only an admin is offered such a one
        if view.support_gate is None or judges or (caller is not None and view.did == caller.did):
            return view
    if caller is None:
        raise NotAuthenticatedError
    if supporters is None:
        raise SupportRequiredError
    return await _vouched(caller, views, supporters)


async def _vouched(caller: Principal, views: Sequence[TrackView], supporters: Supporters) -> TrackView:
    silent: SupportersUnreachableError | None = None
    for artist, view in {view.did: view for view in views}.items():
        try:
            if await supporters.vouch(artist, caller.did):
                return view
        except SupportersUnreachableError as error:
            silent = error
    raise silent or SupportRequiredError
