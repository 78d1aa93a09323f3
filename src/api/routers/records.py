"""Commands on the record at the PDS: they read it first, and wait for the PDS a few seconds."""

from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from aggregates.errors import GatedTrackError
from api.openapi import command_errors
from api.pipeline.command_request import Command, CommandRequest, Respond
from api.pipeline.media_reads import CallerReads, Reads
from api.pipeline.pds_preflight import Place, blob_limit, look, place_of
from api.pipeline.prefer_wait import wait_for_all, wait_for_blob, wait_for_mirror
from api.requests.known_names import StrictRoute
from api.requests.path_params import TrackId
from api.responses.record_commands import CopyResults, NamespaceResults, RestoreResults
from api.responses.track import TrackBody
from api.services import Services
from application.authorization import OnTrack
from application.errors import BlobTooLargeError, MediaNotFoundError
from application.records.change_namespace import ChangeNamespace, change_namespace
from application.records.copy_audio_to_pds import AUDIO_BLOB_BYTES, copy_audio_to_pds
from application.records.restore_record import OnPds, RestoreRecord, restore_record

router = APIRouter(tags=["records"], route_class=StrictRoute)

DEFAULT_WAIT_SECONDS: Final = 10


class RestoredBody(BaseModel):
    """The record is restored; with 202, its restoration is recorded."""

    success: bool
    track: TrackBody
    restored_uri: str | None


class MovedBody(BaseModel):
    """The record is in the new collection and gone from the old one; with 202, the move is recorded."""

    success: bool
    track: TrackBody
    migrated_uri: str | None


class MigratedBody(BaseModel):
    """The record names the audio on the PDS; with 202, the copy is requested."""

    success: bool
    track_id: int
    pds_blob_cid: str | None
    message: str


ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {"description": "Recorded, but not confirmed by the PDS yet; Location says where to look."}
}


@router.post(
    "/tracks/{track_id}/restore-record",
    response_model=RestoredBody,
    responses={**command_errors(), **ACCEPTED},
)
async def restore(track_id: TrackId, request: Command) -> Response:
    """Bring back a record that was deleted elsewhere: same key, same content."""
    return await answer_restore(track_id, request, RestoreResults(request.services.urls).show)


async def answer_restore(track_id: int, request: CommandRequest, show: Respond) -> Response:
    """Restore the record, and answer with what `show` reads."""
    services = request.services
    on_pds = OnPds.UNKNOWN
    async with request.begin(on=track_id, default_wait_seconds=DEFAULT_WAIT_SECONDS) as attempt:
        if not attempt.is_repetition:
            on_pds = await look(services, await place_of(services, request.principal.did, track_id))
            command = RestoreRecord(
                track_id,
                request.versions,
                on_pds=on_pds,
                old_collection=services.old_collection,
                collection=services.collection,
            )
            await attempt.commit(lambda unit: restore_record(unit, command), show)
    # A PDS that did not answer just now will not have the record in a moment.
    waits = on_pds is not OnPds.UNKNOWN or request.preferred_wait_seconds is not None
    return await attempt.response(wait_for_mirror if waits else None)


@router.post(
    "/tracks/{track_id}/migrate-to-pds",
    response_model=MigratedBody,
    responses={**command_errors(), **ACCEPTED},
)
async def migrate(track_id: TrackId, request: Command, reads: Reads) -> Response:
    """Copy the audio to the PDS; it counts as there once the record names it."""
    return await answer_copy(track_id, request, reads, CopyResults(request.services.urls).show)


async def answer_copy(track_id: int, request: CommandRequest, reads: CallerReads, show: Respond) -> Response:
    """Copy the audio to the PDS, and answer with what `show` reads."""
    services = request.services
    async with request.begin(on=track_id, default_wait_seconds=DEFAULT_WAIT_SECONDS) as attempt:
        if not attempt.is_repetition:
            place = await place_of(services, request.principal.did, track_id)
            if place.track.support_gate is not None:
                raise GatedTrackError
            if place.track.blob is None:
                await _require_uploadable(services, reads, place)
            command = OnTrack(track_id, request.versions)
            await attempt.commit(lambda unit: copy_audio_to_pds(unit, command), show)
    return await attempt.response(wait_for_blob)


@router.post(
    "/tracks/{track_id}/migrate-namespace",
    response_model=MovedBody,
    responses={**command_errors(), **ACCEPTED},
)
async def move(track_id: TrackId, request: Command) -> Response:
    """Move the record from the old collection to the current one: same key, same content; it exists in at least one at every moment."""
    services = request.services
    async with request.begin(on=track_id, default_wait_seconds=DEFAULT_WAIT_SECONDS) as attempt:
        if not attempt.is_repetition:
            command = ChangeNamespace(
                track_id,
                request.versions,
                old_collection=services.old_collection,
                collection=services.collection,
            )
            await attempt.commit(
                lambda unit: change_namespace(unit, command), NamespaceResults(services.urls).show
            )
    return await attempt.response(wait_for_all)


async def _require_uploadable(services: Services, reads: CallerReads, place: Place) -> None:
    audio = place.track.audio
    if not await reads.is_stored(audio.cid):
        raise MediaNotFoundError
    limit = min(AUDIO_BLOB_BYTES, await blob_limit(services, place) or AUDIO_BLOB_BYTES)
    if audio.size > limit:
        raise BlobTooLargeError(limit)
