"""Earlier audio of a track, known by the events that replaced it, and its restoration."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from aggregates.track import Track
from aggregates.values import Audio
from application.authorization import OnTrack, load_owned
from application.errors import AcrossGateError, RevisionNotFoundError
from application.tracks.publication import published_by_reverting
from application.tracks.revert import Revert, revert_track
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


@dataclass(frozen=True)
class AudioRevision:
    """Audio that a track had; `id` is the position of the event that replaced it, `version` the last one with it."""

    id: int
    version: int
    replaced_at: datetime
    audio: Audio
    on_pds: bool
    was_gated: bool


@dataclass(frozen=True, kw_only=True)
class RestoreRevision(OnTrack):
    """The revision whose audio the track gets again."""

    revision_id: int


def audio_revisions(log: EventLog, connection: Connection, track_id: int) -> Sequence[AudioRevision]:
    """Return the track's earlier audio, newest first, each once and without what it has now."""
    track: Track | None = None
    found: dict[str, AudioRevision] = {}
    for recorded in log.stream(connection, Track.create_id(track_id)):
        if isinstance(recorded.event, Track.AudioReplaced) and track is not None:
            found.pop(track.audio.cid, None)
            found[track.audio.cid] = AudioRevision(
                id=recorded.position,
                version=track.version,
                replaced_at=recorded.recorded_at,
                audio=track.audio,
                on_pds=track.blob is not None,
                was_gated=track.support_gate is not None,
            )
        track = recorded.event.mutate(track)
    if track is not None:
        found.pop(track.audio.cid, None)
    return [*reversed(found.values())]


def published_by_restoring(connection: Connection, command: RestoreRevision, log: EventLog) -> Audio | None:
    """Return the audio that becomes public, as `published_by_reverting`; raises RevisionNotFoundError."""
    revision = _revision(log, connection, command)
    return published_by_reverting(connection, _revert(command, revision), log)


def restore_revision(unit: UnitOfWork, command: RestoreRevision, log: EventLog, media: Media) -> int:
    """Give the track the audio again; raises as `revert_track`, RevisionNotFoundError or AcrossGateError."""
    track = load_owned(unit, command)
    revision = _revision(log, unit.connection, command)
    if revision.was_gated is not (track.support_gate is not None):
        raise AcrossGateError
    return revert_track(unit, _revert(command, revision), log, media)


def _revision(log: EventLog, connection: Connection, command: RestoreRevision) -> AudioRevision:
    for revision in audio_revisions(log, connection, command.track_id):
        if revision.id == command.revision_id:
            return revision
    raise RevisionNotFoundError


def _revert(command: RestoreRevision, revision: AudioRevision) -> Revert:
    return Revert(command.track_id, command.versions, to_version=revision.version, fields=("audio",))
