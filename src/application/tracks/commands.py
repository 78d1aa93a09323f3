"""Commands on a track: upload, edit, replace the audio, delete, undelete; and which audio each makes public.

That is found before the command runs: the public copy has to be there when it commits. It is None where nothing becomes public,
or where the command was decided on another version of the track.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa

from aggregates.track import Track, media_cids
from aggregates.values import (
    ARTIST_BYTES,
    Artwork,
    Audio,
    Downloads,
    Feature,
    SupportGate,
    checked_artist,
    tid_of,
)
from application.authorization import OnTrack, load_owned, owner_of, require_no_duplicate
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from projections.tracks.queries import track_by_id
from projections.tracks.table import TrackView, tracks
from storage.media import Media
from storage.taken_down import require_not_taken_down

ONE_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class RegisterTrack:
    title: str
    artist: str
    audio: Audio
    collection: str
    album: str | None = None
    features: tuple[Feature, ...] = ()
    tags: tuple[str, ...] = ()
    description: str | None = None
    artwork: Artwork | None = None
    support_gate: SupportGate | None = None
    unlisted: bool = False
    downloads: Downloads = Downloads.OPEN
    self_labels: tuple[str, ...] = ()


def register_track(unit: UnitOfWork, command: RegisterTrack, media: Media) -> int:
    """Register the track; raises DuplicateAudioError."""
    did = owner_of(unit)
    require_no_duplicate(unit.connection, did, command.audio.cid)
    fields = {name: value for name, value in vars(command).items() if name != "downloads"}
    created_at = unit.now
    of_account = (tracks.c.did == did) & (tracks.c.collection == command.collection)
    while unit.connection.scalar(
        sa.select(sa.exists().where(of_account, tracks.c.rkey == tid_of(created_at)))
    ):
        created_at += ONE_MICROSECOND  # the record key is taken
    track = Track.register(
        at=unit.now,
        did=did,
        track_id=next_subject_id(unit.connection, did),
        created_at=created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        rkey=tid_of(created_at),
        **fields,
    )
    track.set_downloads(command.downloads, at=unit.now)
    unit.save(track)
    media.pin(unit.connection, list(media_cids(track)))
    return track.track_id


def artist_name(display_name: str) -> str:
    """Return the display name, cut to what the record holds: a profile may have a longer one."""
    return checked_artist(display_name.encode()[:ARTIST_BYTES].decode(errors="ignore"))


class Keep(Enum):
    """Stands for an unchanged value, where None means a removed one."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True)
class EditTrack(OnTrack):
    """Checked values of the changed fields; new media is stored already."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    support_gate: SupportGate | Keep | None = KEEP
    unlisted: bool | None = None
    downloads: Downloads | None = None
    artwork: Artwork | Keep | None = KEEP


def edit_track(unit: UnitOfWork, command: EditTrack, media: Media) -> int:
    """Change the track; an unchanged value makes no event."""
    track = load_owned(unit, command)
    track.update_metadata(command.metadata, at=unit.now)
    if command.support_gate is not KEEP:
        track.set_support_gate(command.support_gate, at=unit.now)
    if command.unlisted is not None:
        track.set_unlisted(command.unlisted, at=unit.now)
    if command.downloads is not None:
        track.set_downloads(command.downloads, at=unit.now)
    if isinstance(command.artwork, Artwork):
        track.replace_artwork(command.artwork, at=unit.now)
    elif command.artwork is None:
        track.remove_artwork(at=unit.now)
    unit.save(track)
    if isinstance(command.artwork, Artwork):
        media.pin(unit.connection, [command.artwork.cid, command.artwork.thumbnail_cid])
    return track.track_id


@dataclass(frozen=True, kw_only=True)
class ReplaceAudio(OnTrack):
    audio: Audio


def replace_audio(unit: UnitOfWork, command: ReplaceAudio, media: Media) -> int:
    """Replace the audio; raises DuplicateAudioError. The same audio makes no event."""
    track = load_owned(unit, command)
    require_no_duplicate(unit.connection, owner_of(unit), command.audio.cid, but=track.track_id)
    track.replace_audio(command.audio, at=unit.now)
    unit.save(track)
    media.pin(unit.connection, [command.audio.cid])
    return track.track_id


def delete_track(unit: UnitOfWork, command: OnTrack) -> int:
    """Hide the track; the relay removes its record, and its bytes stay for the grace period."""
    track = load_owned(unit, command)
    track.delete(at=unit.now)
    unit.save(track)
    return track.track_id


def undelete_track(unit: UnitOfWork, command: OnTrack, media: Media) -> int:
    """Restore the track with its key and content; raises MediaGoneError once its bytes are swept."""
    track = load_owned(unit, command, deleted_too=True)
    if track.deleted_at is None:
        return track.track_id
    require_no_duplicate(unit.connection, owner_of(unit), track.audio.cid, but=track.track_id)
    track.undelete(at=unit.now)
    unit.save(track)
    media.pin(unit.connection, list(media_cids(track)))
    return track.track_id


def published_by_ungating(connection: sa.Connection, command: OnTrack) -> Audio | None:
    view = at_expected_version(connection, command)
    return view.audio if view is not None and view.support_gate is not None else None


def published_by_replacing(connection: sa.Connection, command: ReplaceAudio) -> Audio | None:
    view = at_expected_version(connection, command)
    is_new = view is not None and view.support_gate is None and view.audio.cid != command.audio.cid
    return command.audio if is_new else None


def published_by_undeleting(connection: sa.Connection, command: OnTrack) -> Audio | None:
    view = at_expected_version(connection, command)
    if view is None or view.support_gate is not None or view.deleted_at is None:
        return None
    require_not_taken_down(connection, [view.audio.cid])
    return view.audio


def published_by_lifting_takedown(connection: sa.Connection, command: OnTrack) -> Audio | None:
    view = at_expected_version(connection, command, taken_down=True)
    is_open = view is not None and view.support_gate is None and view.deleted_at is None
    return view.audio if view is not None and is_open else None


def at_expected_version(
    connection: sa.Connection, command: OnTrack, *, taken_down: bool = False
) -> TrackView | None:
    view = track_by_id(connection, command.track_id)
    if view is None or (command.versions is not None and view.visible_version not in command.versions):
        return None
    return view if (view.taken_down_at is not None) is taken_down else None
