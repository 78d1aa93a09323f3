"""Results of commands: the track as it was saved, and records that are done, or recorded and pending."""

from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Connection

from api.responses.track import MirrorBody, TrackBody, TrackReader, is_on_pds, mirror_of
from application.errors import BlobRefusedError, BlobTooLargeError, MediaNotFoundError, TrackNotFoundError
from application.records.copy_audio_to_pds import AUDIO_BLOB_BYTES
from eventstore.idempotency.results import CommandResult
from outbox.blobs.jobs import MISSING_REASON
from outbox.blobs.upload_results import TOO_LARGE_REASON
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from projections.tracks.queries import track_by_id


class DeletedBody(BaseModel):
    """The track is deleted; `mirror` says how far its record on the PDS is."""

    message: str
    mirror: MirrorBody


def created_track(reader: TrackReader, track_id: int) -> CommandResult:
    answer = changed_track(reader, track_id)
    return CommandResult(201, answer.body, {**answer.headers, "Location": f"/tracks/{track_id}"})


def changed_track(reader: TrackReader, track_id: int) -> CommandResult:
    track = reader.saved_track(track_id)
    return CommandResult(200, track.model_dump(mode="json"), {"ETag": track.etag})


def deleted_track(reader: TrackReader, track_id: int) -> CommandResult:
    mirror = reader.saved_track(track_id).mirror.model_dump(mode="json")
    return CommandResult(200, {"message": "track deleted successfully", "mirror": mirror}, {})


MIGRATED: Final = "track audio migrated to PDS successfully"
WAS_THERE: Final = "track already has PDS blob"
SIGN_IN: Final = "The request is recorded and continues after the account signs in again."
MOVE: Final = (
    "The request is recorded, but the old collection holds a record under the same key. Nothing is written beside it; "
    "move that one: POST /tracks/{id}/migrate-namespace."
)
ON_ITS_WAY: Final = "The request is recorded; the PDS has not confirmed it yet. See `mirror`."
MESSAGES: Final[dict[str, str]] = {LaneState.AUTH_REQUIRED: SIGN_IN, MirrorReason.MIGRATION_NEEDED: MOVE}
"""By the reason that a request is not done."""


def restored_record(reader: TrackReader, track_id: int) -> CommandResult:
    """Return 200 once the PDS has the record, else 202."""
    track = reader.track(track_id)
    body = {
        "success": True,
        "track": track.model_dump(mode="json"),
        "restored_uri": track.atproto_record_uri,
    }
    mirror, not_ours = track.mirror, {MirrorState.HELD, MirrorState.DETACHED}
    if mirror.acked_generation >= mirror.generation and mirror.state not in not_ours:  # the blob may follow
        return CommandResult(200, body, {"ETag": track.etag})
    return accepted({**body, "success": False, "restored_uri": None}, track)


def moved_record(reader: TrackReader, track_id: int) -> CommandResult:
    """Return 200 once the record is in the new collection and gone from the old one, else 202."""
    track = reader.track(track_id)
    mirror = mirror_of(reader.connection, track_id)
    body = {"success": mirror.is_settled, "track": track.model_dump(mode="json")}
    if mirror.is_settled:
        return CommandResult(200, {**body, "migrated_uri": track.atproto_record_uri}, {"ETag": track.etag})
    of_left = mirror.left[0].reason if mirror.left else None
    return accepted({**body, "migrated_uri": None}, track, reason=track.mirror.reason or of_left)


class CopyResults:
    """Results of migrate-to-pds."""

    def __init__(self) -> None:
        self._message = WAS_THERE

    def show(self, reader: TrackReader, track_id: int) -> CommandResult:
        """Return 200 once the record on the PDS names the audio, else 202; raises what refused the audio for good."""
        track = reader.track(track_id)
        body = {"success": is_on_pds(track), "track_id": track_id, "pds_blob_cid": track.pds_blob_cid}
        if is_on_pds(track):
            return CommandResult(200, {**body, "message": self._message}, {})
        self._message = MIGRATED  # from here on this request did it
        self._refuse_what_failed_for_good(reader.connection, track_id)
        return accepted({**body, "mirror": track.mirror.model_dump(mode="json")}, track)

    def _refuse_what_failed_for_good(self, connection: Connection, track_id: int) -> None:
        view = track_by_id(connection, track_id)
        if view is None:
            raise TrackNotFoundError
        if view.blob_requested:
            return
        if view.blob_failure == TOO_LARGE_REASON:
            raise BlobTooLargeError(AUDIO_BLOB_BYTES if view.audio.size > AUDIO_BLOB_BYTES else None)
        if view.blob_failure == MISSING_REASON:
            raise MediaNotFoundError
        if view.blob_failure is not None:
            said = mirror_of(connection, track_id).blob_error
            raise BlobRefusedError(view.blob_failure, said or view.blob_failure)


def accepted(body: dict[str, Any], track: TrackBody, *, reason: str | None = None) -> CommandResult:
    """Return 202 with the reason that it is not done, and where to follow it."""
    reason = reason or track.mirror.reason
    message = MESSAGES.get(reason or "", ON_ITS_WAY)
    content = {**body, "message": message, "reason": reason}
    return CommandResult(202, content, {"Location": f"/tracks/{track.id}/mirror"})
