"""Commands on a track: upload, edit, replace the audio, delete, undelete; and which audio they make public.

That is found before the command runs: the public copy has to be there when it commits. It is None where nothing becomes public,
or where the command was decided on another version of the track.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from aggregates.errors import TrackError
from aggregates.tracks.track import Track, media_cids
from aggregates.values import (
    ARTIST_BYTES,
    Artwork,
    Audio,
    Downloads,
    Feature,
    SupportGate,
    checked_artist,
    cids_in,
)
from application.authorization import require_no_duplicate
from application.errors import ApplicationError, TracksRefusedError
from application.lists.albums import follow_album_text
from application.subjects import ChangeOn, find, load_owned, new_record
from eventstore.change import copied
from eventstore.event_log import EventLog
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from storage.media import Reserved
from storage.taken_down import require_not_taken_down


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
    copies_audio: bool = False
    """Whether the audio is copied to the PDS."""

    @property
    def named(self) -> tuple[str, ...]:
        """The bytes that the command names."""
        return (self.audio.cid, *cids_in(self.artwork))


def register_track(unit: UnitOfWork, command: RegisterTrack, reserved: Reserved) -> Track:
    """Register the track; raises DuplicateAudioError."""
    reserved.require(command.named, unit.now)
    did = unit.account
    require_no_duplicate(unit.connection, did, command.audio.cid)
    own = ("downloads", "collection", "copies_audio")
    fields = {name: value for name, value in vars(command).items() if name not in own}
    where = new_record(unit, command.collection)
    track = Track.register(at=unit.now, track_id=next_subject_id(unit.connection, did), **where, **fields)
    track.set_downloads(command.downloads, at=unit.now)
    if command.copies_audio:
        track.request_blob_migration(at=unit.now)
    unit.save(track)
    follow_album_text(unit, track, None)
    return track


def artist_name(display_name: str) -> str:
    """Return the display name, cut to what the record holds: a profile may have a longer one."""
    return checked_artist(display_name.encode()[:ARTIST_BYTES].decode(errors="ignore"))


class ChangeTrack(ChangeOn[Track]):
    @property
    def named(self) -> tuple[str, ...]:
        """The bytes that it is known to name."""
        return ()

    @property
    def may_publish(self) -> bool:
        """Whether it may make audio public."""
        return True


@dataclass(frozen=True, kw_only=True)
class EditTrack(ChangeTrack):
    """Checked values of the changed fields, and the audio; new media is stored already."""

    changes: Mapping[str, Any]

    @property
    def named(self) -> tuple[str, ...]:
        audio: Audio | None = self.changes.get("audio")
        return (*cids_in(self.changes.get("artwork")), *((audio.cid,) if audio is not None else ()))

    @property
    def may_publish(self) -> bool:
        return "audio" in self.changes or self.changes.get("support_gate", True) is None

    def make(self, subject: Track, at: datetime) -> None:
        subject.edit(self.changes, at=at)


class Undelete(ChangeTrack):
    """With its key and content."""

    def make(self, subject: Track, at: datetime) -> None:
        subject.undelete(at=at)


def change_track(unit: UnitOfWork, command: ChangeOn[Track], reserved: Reserved) -> Track:
    """Change the track; raises DuplicateAudioError, or MediaGoneError where bytes that it is to name again are swept."""
    track = load_owned(unit, command, deleted_too=isinstance(command, Undelete))
    is_live = track.deleted_at is None
    album, (audio, *covers) = (track.album, media_cids(track)) if is_live else (None, [""])
    command.make(track, unit.now)
    if track.audio.cid != audio:
        require_no_duplicate(unit.connection, track.did, track.audio.cid, but=track.track_id)
    reserved.require({*media_cids(track)} - {audio, *covers}, unit.now)
    unit.save(track)
    follow_album_text(unit, track, album)
    return track


def change_tracks(
    unit: UnitOfWork, commands: Sequence[ChangeOn[Track]], reserved: Reserved
) -> Sequence[Track]:
    """Change all of these tracks, or none; raises TracksRefusedError with each that is refused."""
    changed, refused = [], {}
    for command in commands:
        try:
            changed.append(change_track(unit, command, reserved))
        except (ApplicationError, TrackError) as error:
            refused[command.id] = error
    if refused:
        raise TracksRefusedError(refused)
    return changed


def published_by(log: EventLog, connection: sa.Connection, command: ChangeOn[Track]) -> Audio | None:
    track = find(log, connection, command)
    if track is None or not command.is_of(track):
        return None
    after = copied(track)
    command.make(after, datetime.now(UTC))
    is_other = after.audio.cid != track.audio.cid
    if not _is_public(after) or (_is_public(track) and not is_other):
        return None
    if is_other or track.deleted_at is not None:
        require_not_taken_down(connection, [after.audio.cid])
    return after.audio


def _is_public(track: Track) -> bool:
    return track.support_gate is None and track.deleted_at is None and track.taken_down_at is None
