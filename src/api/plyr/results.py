"""Results of commands as the peer's clients read them."""

from http import HTTPStatus
from typing import Any

from api.plyr.track import TrackResponse, track_responses
from api.responses.commands import CopyResults, deleted_track, restored_record
from api.responses.read_tracks import TrackReader
from application.errors import TrackNotFoundError
from eventstore.idempotency.results import CommandResult
from identity.accounts.credentials import Principal
from identity.errors import SignInRequiredError
from outbox.tracks.record import RecordUrls
from outbox.views.status import needs_sign_in
from projections.tracks.queries import track_by_id


class PlyrResults:
    """Each reads the state of the track as it is now, for its owner."""

    def __init__(self, urls: RecordUrls, owner: Principal) -> None:
        self._urls = urls
        self._owner = owner
        self._copied = CopyResults()

    def track(self, reader: TrackReader, track_id: int) -> CommandResult:
        return CommandResult(200, self._track(reader, track_id).model_dump(mode="json"), {})

    def uploaded(self, reader: TrackReader, track_id: int) -> CommandResult:
        """Return at once what the peer tells at the end of its progress stream, which repeats it."""
        return CommandResult(200, completed(self._track(reader, track_id)), {})

    def deleted(self, reader: TrackReader, track_id: int) -> CommandResult:
        message = deleted_track(reader, track_id).body["message"]
        return CommandResult(200, {"message": message}, {})

    def restored(self, reader: TrackReader, track_id: int) -> CommandResult:
        """Return as restore-record of ours; raises SignInRequiredError for what only a sign-in lets go on."""
        ours = self._require_login(reader, restored_record(reader, track_id))
        track = self._track(reader, track_id).model_dump(mode="json")
        return CommandResult(ours.status, {**ours.body, "track": track}, {})

    def copied(self, reader: TrackReader, track_id: int) -> CommandResult:
        """Return as migrate-to-pds of ours; raises SignInRequiredError for what only a sign-in lets go on."""
        ours = self._require_login(reader, self._copied.show(reader, track_id))
        shown_as = self._track(reader, track_id).id
        return CommandResult(ours.status, {**ours.body, "track_id": shown_as}, {})

    def _require_login(self, reader: TrackReader, result: CommandResult) -> CommandResult:
        """In the unit of the command this undoes it: the peer's page takes every 2xx for done."""
        is_done = result.status == HTTPStatus.OK
        if not is_done and needs_sign_in(reader.connection, self._owner.did):
            raise SignInRequiredError(self._owner.did)
        return result

    def _track(self, reader: TrackReader, track_id: int) -> TrackResponse:
        view = track_by_id(reader.connection, track_id)
        if view is None:
            raise TrackNotFoundError
        return track_responses(reader.connection, [view], self._urls, self._owner)[0]


def completed(track: TrackResponse) -> dict[str, Any]:
    """Return the event that ends an upload's progress stream; the upload is known by its track's id."""
    return {
        "upload_id": str(track.id),
        "status": "completed",
        "message": "upload completed",
        "error": None,
        "phase": None,
        "server_progress_pct": 100,
        "created_at": track.created_at,
        "completed_at": track.created_at,
        "track_id": track.id,
        "title": track.title,
        "warnings": [],
        "atproto_uri": track.atproto_record_uri,
        "atproto_cid": track.atproto_record_cid,
    }
