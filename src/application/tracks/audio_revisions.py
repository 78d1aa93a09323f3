"""Earlier audio of a track, known by the events that replaced it, and its restoration."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from aggregates.track import Track
from aggregates.values import Audio
from application.authorization import OnTrack, load_owned
from application.errors import AcrossGateError, RevisionNotFoundError
from application.tracks.as_of import track_as_it_is, track_at_version
from application.tracks.publication import published_by_reverting
from application.tracks.revert import Revert, revert_track
from eventstore.event_log import EventLog
from eventstore.schema import stored_event
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


MOST_REVISIONS: Final = 10
"""As many as plyr.fm keeps."""
MOST_REPLACEMENTS: Final = 2 * MOST_REVISIONS
"""That are looked at: the same audio may have been there several times."""


def audio_revisions(log: EventLog, connection: Connection, track_id: int) -> Sequence[AudioRevision]:
    """Return the track's earlier audio, newest first, each once and without what it has now."""
    event, stream = stored_event.c, str(Track.create_id(track_id))
    replacements = (
        select(event.position, event.originator_version, event.recorded_at)
        .where(event.originator_id == stream, event.topic == Track.AudioReplaced.TOPIC)
        .order_by(event.originator_version.desc())
        .limit(MOST_REPLACEMENTS)
    )
    now = track_as_it_is(log, connection, track_id).audio.cid
    found: dict[str, AudioRevision] = {}
    for replaced in connection.execute(replacements):
        track = track_at_version(log, connection, track_id, replaced.originator_version - 1)
        if track.audio.cid != now and track.audio.cid not in found:
            found[track.audio.cid] = AudioRevision(
                id=replaced.position,
                version=track.version,
                replaced_at=replaced.recorded_at,
                audio=track.audio,
                on_pds=track.blob is not None,
                was_gated=track.support_gate is not None,
            )
    return [*found.values()][:MOST_REVISIONS]


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
