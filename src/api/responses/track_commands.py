"""Results of commands on tracks."""

from pydantic import BaseModel
from sqlalchemy import Connection

from api.responses.read_tracks import one_track
from api.responses.track import MirrorBody
from eventstore.idempotency.results import CommandResult
from outbox.record.record import RecordUrls


class DeletedBody(BaseModel):
    """The track is deleted; `mirror` says how far its record on the PDS is."""

    message: str
    mirror: MirrorBody


class TrackResults:
    """Each reads the state of the track as it is now."""

    def __init__(self, urls: RecordUrls) -> None:
        self._urls = urls

    def created(self, connection: Connection, track_id: int) -> CommandResult:
        answer = self.track(connection, track_id)
        return CommandResult(201, answer.body, {**answer.headers, "Location": f"/tracks/{track_id}"})

    def track(self, connection: Connection, track_id: int) -> CommandResult:
        track = one_track(connection, track_id, self._urls)
        return CommandResult(200, track.model_dump(mode="json"), {"ETag": track.etag})

    def deleted(self, connection: Connection, track_id: int) -> CommandResult:
        track = one_track(connection, track_id, self._urls)
        mirror = track.mirror.model_dump(mode="json")
        return CommandResult(200, {"message": "track deleted successfully", "mirror": mirror}, {})
