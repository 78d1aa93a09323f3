"""Earlier audio of a track, for the peer's clients: our history and revert under their ids."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.pipeline.command_request import Command
from api.plyr.reading import ROUTER, PeerTrackId
from api.responses.read_tracks import TrackReader
from api.services import Services
from application.authorization import require_owned
from application.tracks.audio_revisions import (
    AudioRevision,
    RestoreRevision,
    audio_revisions,
    published_by_restoring,
    restore_revision,
)
from eventstore.idempotency.results import CommandResult
from eventstore.streams.track_ids import peer_ids_of

router: Final = APIRouter(**ROUTER)


class RevisionBody(BaseModel):
    """The peer's revision: audio that the track had."""

    id: int
    track_id: int
    created_at: datetime
    file_type: str
    original_file_type: str | None = None
    audio_storage: str
    duration: int | None
    was_gated: bool

    @classmethod
    def of(cls, revision: AudioRevision, track_id: int) -> "RevisionBody":
        return cls(
            id=revision.id,
            track_id=track_id,
            created_at=revision.replaced_at,
            file_type=revision.audio.file_type,
            audio_storage="both" if revision.on_pds else "r2",
            duration=revision.audio.duration,
            was_gated=revision.was_gated,
        )


@router.get("/tracks/{track_id}/revisions")
def list_revisions(track_id: PeerTrackId, principal: SignedIn, services: ServicesDep) -> Response:
    """List the earlier audio of a track, newest first, for its owner."""
    with services.database.read() as connection:
        require_owned(connection, principal.did, track_id)
        shown_as, revisions = _revisions(connection, services, track_id)
    return AsciiJsonResponse({"track_id": shown_as, "revisions": revisions})


@router.post("/tracks/{track_id}/revisions/{revision_id}/restore")
async def restore(
    track_id: PeerTrackId, revision_id: Annotated[int, Path(ge=1)], request: Command
) -> Response:
    """Give the track its earlier audio again; answers with the revision of the displaced audio."""
    services = request.services

    def displaced(reader: TrackReader, restored: int) -> CommandResult:
        return CommandResult(200, _revisions(reader.connection, services, restored)[1][0], {})

    async with request.begin(on=track_id) as attempt:
        if not attempt.is_repetition:
            command = RestoreRevision(track_id, request.versions, revision_id=revision_id)
            await attempt.publish_if(partial(published_by_restoring, command=command, log=services.log))
            await attempt.commit(
                lambda unit: restore_revision(unit, command, services.log, services.media), displaced
            )
    return await attempt.response()


def _revisions(connection: Connection, services: Services, track_id: int) -> tuple[int, list[dict[str, Any]]]:
    """Return the id that the peer's clients know, and the revisions."""
    shown_as = peer_ids_of(connection, [track_id])[track_id]
    revisions = audio_revisions(services.log, connection, track_id)
    return shown_as, [RevisionBody.of(each, shown_as).model_dump(mode="json") for each in revisions]
