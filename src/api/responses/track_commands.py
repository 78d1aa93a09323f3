"""Results of commands on tracks: each shows the track as the command has saved it."""

from pydantic import BaseModel

from api.responses.read_tracks import TrackReader
from api.responses.track import MirrorBody
from eventstore.idempotency.results import CommandResult


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
