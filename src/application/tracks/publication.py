"""Which audio a command makes public, found before it runs: the public copy has to be there when the command commits.

None where the command makes nothing public, or was decided on another version of the track.
"""

from sqlalchemy import Connection

from aggregates.values import Audio
from application.authorization import OnTrack
from application.tracks.as_of import track_at_version
from application.tracks.revert import Revert
from eventstore.event_log import EventLog
from projections.tracks.queries import track_by_id
from projections.tracks.table import TrackView
from storage.taken_down import require_not_taken_down


def published_by_ungating(connection: Connection, command: OnTrack) -> Audio | None:
    view = _track_at_expected_version(connection, command)
    return view.audio if view is not None and view.support_gate is not None else None


def published_by_replacing(connection: Connection, command: OnTrack, audio: Audio) -> Audio | None:
    view = _track_at_expected_version(connection, command)
    is_new = view is not None and view.support_gate is None and view.audio.cid != audio.cid
    return audio if is_new else None


def published_by_undeleting(connection: Connection, command: OnTrack) -> Audio | None:
    view = _track_at_expected_version(connection, command)
    if view is None or view.support_gate is not None or view.deleted_at is None:
        return None
    require_not_taken_down(connection, [view.audio.cid])
    return view.audio


def published_by_lifting_takedown(connection: Connection, command: OnTrack) -> Audio | None:
    view = _track_at_expected_version(connection, command, taken_down=True)
    is_open = view is not None and view.support_gate is None and view.deleted_at is None
    return view.audio if view is not None and is_open else None


def published_by_reverting(connection: Connection, command: Revert, log: EventLog) -> Audio | None:
    """The audio after the revert, where it is open then and is not public now."""
    view = _track_at_expected_version(connection, command)
    if view is None:
        return None
    past = track_at_version(log, connection, command.track_id, command.to_version)
    gate = past.support_gate if "support_gate" in command.fields else view.support_gate
    audio = past.audio if "audio" in command.fields else view.audio
    if gate is not None or (view.support_gate is None and audio.cid == view.audio.cid):
        return None
    if audio.cid != view.audio.cid:
        require_not_taken_down(connection, [audio.cid])
    return audio


def _track_at_expected_version(
    connection: Connection, command: OnTrack, *, taken_down: bool = False
) -> TrackView | None:
    view = track_by_id(connection, command.track_id)
    if view is None or (command.versions is not None and view.visible_version not in command.versions):
        return None
    return view if (view.taken_down_at is not None) is taken_down else None
