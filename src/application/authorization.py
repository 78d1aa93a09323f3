"""The track that a command is about, once it is certain that the caller may give it commands."""

from dataclasses import dataclass

from sqlalchemy import Connection

from aggregates.track import Track
from application.errors import (
    DuplicateAudioError,
    LeavingError,
    NotOwnerError,
    TrackNotFoundError,
    VersionMismatchError,
)
from eventstore.errors import AggregateNotFoundError
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import is_active
from projections.track_queries import live_track_with_audio, track_by_id
from projections.track_view import TrackView


@dataclass(frozen=True)
class OnTrack:
    """Which track, and the versions of it that the caller decided on; None where any will do."""

    track_id: int
    versions: frozenset[int] | None = None


def require_owned(connection: Connection, did: str, track_id: int, *, deleted_too: bool = False) -> TrackView:
    """Find the track: 404 goes before 403, and one that is deleted or taken down is not there for others."""
    view = track_by_id(connection, track_id)
    if view is None or (view.deleted_at is not None and not (deleted_too and view.did == did)):
        raise TrackNotFoundError
    if view.did != did:
        raise NotOwnerError if view.taken_down_at is None else TrackNotFoundError
    return view


def load_owned(unit: UnitOfWork, command: OnTrack, *, deleted_too: bool = False) -> Track:
    """Load the track for a command."""
    try:
        track = unit.load(Track, Track.create_id(command.track_id))
    except AggregateNotFoundError:
        require_owned(unit.connection, owner_of(unit), command.track_id, deleted_too=deleted_too)  # says why
        raise
    if track.deleted_at is not None and not deleted_too:
        raise TrackNotFoundError
    require_version(track.visible_version, command.versions)
    return track


def require_version(version: int, wanted: frozenset[int] | None) -> None:
    """Refuse what was decided on another version than this."""
    if wanted is not None and version not in wanted:
        raise VersionMismatchError(version)


def require_staying(unit: UnitOfWork) -> None:
    """Refuse to change anything for somebody who leaves, or has left since they were asked who they are."""
    if not is_active(unit.connection, owner_of(unit)):
        raise LeavingError


def require_no_duplicate(connection: Connection, did: str, audio_cid: str, *, but: int | None = None) -> None:
    """Refuse audio that the artist has already, on another live track than `but`, unless that was taken over as it is."""
    view = track_by_id(connection, but) if but is not None else None
    if view is not None and view.adopted:
        return
    other = live_track_with_audio(connection, did, audio_cid)
    if other is not None and other.track_id != but:
        raise DuplicateAudioError(other.track_id)


def owner_of(unit: UnitOfWork) -> str:
    """Return the account that the unit of work belongs to."""
    assert unit.did is not None  # noqa: S101 - commands are always of an account
    return unit.did
