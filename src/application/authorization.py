"""Which tracks an account may change, read, play and download, and in which state.

An open track is for all to play; a gated one is for its owner and the artist's supporters.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import sqlalchemy as sa

from aggregates.track import Track
from aggregates.values import Downloads
from application.errors import (
    DownloadsOffError,
    DuplicateAudioError,
    LeavingError,
    MediaNotFoundError,
    NotAuthenticatedError,
    NotOwnerError,
    SupportersUnreachableError,
    SupportRequiredError,
    TrackNotFoundError,
    VersionMismatchError,
)
from eventstore.errors import AggregateNotFoundError
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import ACTIVE
from identity.accounts.credentials import Principal
from projections.tracks.queries import live_track_with_audio, track_by_id
from projections.tracks.table import TrackView


@dataclass(frozen=True)
class OnTrack:
    """Which track, and the versions of it that the caller decided on; None where any will do."""

    track_id: int
    versions: frozenset[int] | None = None


def require_owned(
    connection: sa.Connection, did: str, track_id: int, *, deleted_too: bool = False
) -> TrackView:
    """Return the track; raises TrackNotFoundError before NotOwnerError, also for another's deleted or taken-down track."""
    view = track_by_id(connection, track_id)
    if view is None or (view.deleted_at is not None and not (deleted_too and view.did == did)):
        raise TrackNotFoundError
    if view.did != did:
        raise NotOwnerError if view.taken_down_at is None else TrackNotFoundError
    return view


def load_owned(unit: UnitOfWork, command: OnTrack, *, deleted_too: bool = False) -> Track:
    """Load the track for a command of its owner; raises as `require_owned`, and VersionMismatchError."""
    try:
        track = unit.load(Track, Track.create_id(command.track_id))
    except AggregateNotFoundError:
        require_owned(
            unit.connection, owner_of(unit), command.track_id, deleted_too=deleted_too
        )  # raises the precise error
        raise
    if track.deleted_at is not None and not deleted_too:
        raise TrackNotFoundError
    require_version(track.visible_version, command.versions)
    return track


def would_accept(state: object, did: str, wanted: frozenset[int] | None) -> bool:
    return (
        isinstance(state, Track)
        and state.did == did
        and state.deleted_at is None
        and (wanted is None or state.visible_version in wanted)
    )


def require_version(version: int, wanted: frozenset[int] | None) -> None:
    """Raise VersionMismatchError if the command was decided on another version."""
    if wanted is not None and version not in wanted:
        raise VersionMismatchError(version)


def require_staying(unit: UnitOfWork) -> None:
    """Raise LeavingError if the account's deletion was requested, even since the caller was authenticated."""
    if not unit.finds(ACTIVE.query(did=owner_of(unit)), expected=True):
        raise LeavingError


def require_no_duplicate(
    connection: sa.Connection, did: str, audio_cid: str, *, but: int | None = None
) -> None:
    """Raise DuplicateAudioError if another live track than `but` has this audio; an adopted track may keep a duplicate."""
    view = track_by_id(connection, but) if but is not None else None
    if view is not None and view.adopted:
        return
    other = live_track_with_audio(connection, did, audio_cid)
    if other is not None and other.track_id != but:
        raise DuplicateAudioError(other.track_id)


def owner_of(unit: UnitOfWork) -> str:
    assert unit.did is not None  # noqa: S101 - commands are always of an account
    return unit.did


def may_see_track(caller: Principal | None, owner: str, taken_down_at: datetime | None) -> bool:
    """Whether the caller may know of a track: of one that was taken down, only its owner and operators may."""
    return taken_down_at is None or (caller is not None and (caller.did == owner or caller.operator))


def require_shown(caller: Principal | None, view: TrackView | None) -> TrackView:
    """Return a live track that the caller may know of; raises TrackNotFoundError for any other."""
    if view is None or view.deleted_at is not None or not may_see_track(caller, view.did, view.taken_down_at):
        raise TrackNotFoundError
    return view


def may_have_bytes(caller: Principal | None, track: TrackView) -> bool:
    """Whether the caller may have bytes of the track at all: those of one that was taken down are for admins only."""
    return track.taken_down_at is None or (caller is not None and caller.admin)


def require_reader(connection: sa.Connection, principal: Principal, track_id: int) -> TrackView:
    """Return the track, even a deleted one, for its owner or an operator.

    Raises NotOwnerError for others, and TrackNotFoundError where the track is deleted or taken down.
    """
    view = track_by_id(connection, track_id)
    if view is not None and (view.did == principal.did or principal.operator):
        return view
    if view is None or view.deleted_at is not None or view.taken_down_at is not None:
        raise TrackNotFoundError
    raise NotOwnerError


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
