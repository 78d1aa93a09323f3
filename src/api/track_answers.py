"""What commands on tracks answer."""

from sqlalchemy import Connection

from api.idempotency import Answer
from api.track_reader import one_track
from outbox.record.record import RecordUrls


class TrackAnswers:
    """Answers from the state as it is when they are asked for."""

    def __init__(self, urls: RecordUrls) -> None:
        self._urls = urls

    def created(self, connection: Connection, track_id: int) -> Answer:
        """Return the new track, with its Location."""
        answer = self.track(connection, track_id)
        return Answer(201, answer.body, {**answer.headers, "Location": f"/tracks/{track_id}"})

    def track(self, connection: Connection, track_id: int) -> Answer:
        """Return the track."""
        track = one_track(connection, track_id, self._urls)
        return Answer(200, track.model_dump(mode="json"), {"ETag": track.etag})

    def deleted(self, connection: Connection, track_id: int) -> Answer:
        """Say that the track is gone, and how far its record is."""
        track = one_track(connection, track_id, self._urls)
        mirror = track.mirror.model_dump(mode="json")
        return Answer(200, {"message": "track deleted successfully", "mirror": mirror}, {})
