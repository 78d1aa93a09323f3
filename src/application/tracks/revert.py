"""A track as it was, and how it becomes so again.

A revert sets fields back to an earlier version, each by the ordinary event that sets it; earlier audio is found by the event that replaced it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from aggregates.tracks.track import METADATA, Track
from aggregates.values import Audio
from application.errors import AcrossGateError, RevisionNotFoundError
from application.subjects import On, past_of
from application.tracks.commands import ChangeTrack
from eventstore.event_log import EventLog
from eventstore.sql.schema import stored_event
from eventstore.streams.buckets import bucket_of
from projections.media_references import media_references
from storage.media import IS_LIVE, media


@dataclass(frozen=True)
class KeptAudio:
    """Whether the bytes are stored, and until when at least; None while a track names them, or they are gone."""

    is_kept: bool
    until: datetime | None


def kept_audio(connection: sa.Connection, cid: str, grace: timedelta) -> KeptAudio:
    """Return what the sweep lets be of these bytes, which other tracks may name too."""
    of_media, names = media.c, media_references.c
    touched_at = connection.scalar(sa.select(of_media.touched_at).where(of_media.cid == cid, IS_LIVE))
    if touched_at is None:
        return KeptAudio(is_kept=False, until=None)
    released = connection.scalars(sa.select(names.released_at).where(names.cid == cid)).all()
    times = [at for at in released if at is not None]
    if len(times) < len(released):
        return KeptAudio(is_kept=True, until=None)
    return KeptAudio(is_kept=True, until=max([touched_at, *times]) + grace)


FIELDS: Final = (*METADATA, "artwork", "support_gate", "unlisted", "downloads", "comments", "audio")
"""The fields that can be reverted."""
_OF_UPLOAD: Final = "it stays as the upload has set it"
_OF_RECORD: Final = "it is part of the record's address"
_OF_PDS: Final = "it says what the PDS has; the relay observes it"
_OF_OPERATOR: Final = "an operator decides it"
KEPT_BECAUSE: Final = {
    "artist": _OF_UPLOAD,
    "created_at": _OF_UPLOAD,
    "collection": _OF_RECORD,
    "rkey": _OF_RECORD,
    "image_url": "`artwork` brings it back",
    "audio_names": "each name stays with its audio",
    "blob": "`audio` brings it back, once the PDS has a copy again",
    "blob_requested": _OF_PDS,
    "blob_failure": _OF_PDS,
    "record_missing_since": _OF_PDS,
    "foreign_edit": _OF_PDS,
    "deleted_at": "an undelete brings a deleted track back",
    "hidden_comments": "each is shown again by itself: DELETE /comments/{id}/hidden",
    "taken_down_at": _OF_OPERATOR,
    "takedown_reason": _OF_OPERATOR,
}
"""Why each of the other fields that history shows cannot be reverted."""


@dataclass(frozen=True, kw_only=True)
class Revert(ChangeTrack):
    """The earlier state, and the fields to revert to it."""

    past: Track
    fields: Collection[str] = FIELDS

    def make(self, subject: Track, at: datetime) -> None:
        past = self.past
        changes = {name: getattr(past, name) for name in self.fields}
        if "artwork" in changes:
            changes["artwork"] = past.artwork or past.image_url
        subject.edit(changes, at=at)
        if "audio" in changes and past.blob is not None and subject.support_gate is None:
            subject.request_blob_migration(at=at)


@dataclass(frozen=True, kw_only=True)
class RestoreAudio(Revert):
    """Gives the track its earlier audio again; raises AcrossGateError."""

    fields: Collection[str] = ("audio",)

    def make(self, subject: Track, at: datetime) -> None:
        if (self.past.support_gate is None) is not (subject.support_gate is None):
            raise AcrossGateError
        super().make(subject, at)


@dataclass(frozen=True)
class AudioRevision:
    """Audio that a track had; `id` is the position of the event that replaced it, `version` the last one with it."""

    id: int
    version: int
    replaced_at: datetime
    audio: Audio
    on_pds: bool
    was_gated: bool


MOST_REVISIONS: Final = 10
"""As many as plyr.fm keeps."""
MOST_REPLACEMENTS: Final = 2 * MOST_REVISIONS
"""That are looked at: the same audio may have been there several times."""


def audio_revisions(log: EventLog, connection: sa.Connection, now: Track) -> Sequence[AudioRevision]:
    """Return the track's earlier audio, newest first, each once and without what it has now."""
    event, on = stored_event.c, On(Track, now.track_id)
    replacements = (
        sa.select(event.position, event.originator_version, event.recorded_at)
        .where(
            event.bucket == bucket_of(now.did),
            event.originator_id == str(now.id),
            event.topic == Track.AudioReplaced.TOPIC,
        )
        .order_by(event.originator_version.desc())
        .limit(MOST_REPLACEMENTS)
    )
    found: dict[str, AudioRevision] = {}
    for replaced in connection.execute(replacements):
        track = past_of(log, connection, now.did, on, replaced.originator_version - 1)
        if track.audio.cid != now.audio.cid and track.audio.cid not in found:
            found[track.audio.cid] = AudioRevision(
                id=replaced.position,
                version=track.version,
                replaced_at=replaced.recorded_at,
                audio=track.audio,
                on_pds=track.blob is not None,
                was_gated=track.support_gate is not None,
            )
    return [*found.values()][:MOST_REVISIONS]


def state_with_audio(log: EventLog, connection: sa.Connection, now: Track, revision_id: int) -> Track:
    """Return the track as it was with an earlier audio; raises RevisionNotFoundError."""
    for revision in audio_revisions(log, connection, now):
        if revision.id == revision_id:
            return past_of(log, connection, now.did, On(Track, now.track_id), revision.version)
    raise RevisionNotFoundError
