"""Commands on the record at the PDS: they read it first, and wait for the PDS a few seconds."""

from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel

from aggregates.errors import GatedTrackError
from api.openapi import command_errors
from api.pipeline.command_request import Command, CommandRequest, Respond
from api.pipeline.media_reads import CallerReads, Reads
from api.pipeline.pds_preflight import Place, blob_limit, look, look_in_old_collection, place_of
from api.pipeline.prefer_wait import wait_for_all, wait_for_blob, wait_for_mirror
from api.requests.known_names import StrictRoute
from api.requests.parameters import TrackId
from api.responses.record_commands import CopyResults, moved_record, restored_record
from api.responses.track import MirrorBody, TrackBody
from api.services import Services
from application.authorization import OnTrack
from application.errors import BlobTooLargeError, MediaNotFoundError
from application.records.change_namespace import ChangeNamespace, change_namespace
from application.records.copy_audio_to_pds import AUDIO_BLOB_BYTES, copy_audio_to_pds
from application.records.restore_record import OnPds, RestoreRecord, restore_record

router = APIRouter(tags=["records"], route_class=StrictRoute)

DEFAULT_WAIT_SECONDS: Final = 10


class RestoredBody(BaseModel):
    """The record is restored."""

    success: bool
    track: TrackBody
    restored_uri: str | None


class MovedBody(BaseModel):
    """The record is in the new collection and gone from the old one."""

    success: bool
    track: TrackBody
    migrated_uri: str | None


class MigratedBody(BaseModel):
    """The record names the audio on the PDS."""

    success: bool
    track_id: int
    pds_blob_cid: str | None
    message: str


class Accepted(BaseModel):
    """Why it is not done yet."""

    message: str
    reason: str | None


class RestoringBody(Accepted, RestoredBody):
    """The restoration is recorded."""


class MovingBody(Accepted, MovedBody):
    """The move is recorded."""


class MigratingBody(Accepted, MigratedBody):
    """The copy is requested."""

    mirror: MirrorBody


def accepted(model: type[Accepted]) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a command, and the answer until the PDS has confirmed it."""
    description = "Recorded, but not confirmed by the PDS yet; Location says where to look."
    return {202: {"model": model, "description": description}, **command_errors()}


@router.post(
    "/tracks/{track_id}/restore-record",
    response_model=RestoredBody,
    responses=accepted(RestoringBody),
)
async def restore(track_id: TrackId, request: Command) -> Response:
    """Bring back a record that was deleted elsewhere: same key, same content.

    One that the old collection has instead is refused: migrate-namespace moves it.
    """
    return await answer_restore(track_id, request, restored_record)


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
    return await attempt.response(wait_for_mirror if _may_wait(request, on_pds) else None)


@router.post(
    "/tracks/{track_id}/migrate-to-pds",
    response_model=MigratedBody,
    responses=accepted(MigratingBody),
)
async def migrate(track_id: TrackId, request: Command, reads: Reads) -> Response:
    """Copy the audio to the PDS; it counts as there once the record names it."""
    return await answer_copy(track_id, request, reads, CopyResults().show)


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
    responses=accepted(MovingBody),
)
async def move(track_id: TrackId, request: Command) -> Response:
    """Move the record from the old collection to the current one: same key, same content; it exists in at least one at every moment.

    One that only the PDS knows to be in the old collection moves, too.
    """
    services = request.services
    found = OnPds.ABSENT
    async with request.begin(on=track_id, default_wait_seconds=DEFAULT_WAIT_SECONDS) as attempt:
        if not attempt.is_repetition:
            place = await place_of(services, request.principal.did, track_id)
            found = await look_in_old_collection(services, place)
            command = ChangeNamespace(
                track_id,
                request.versions,
                old_collection=services.old_collection,
                collection=services.collection,
                found=found,
            )
            await attempt.commit(lambda unit: change_namespace(unit, command), moved_record)
    return await attempt.response(wait_for_all if _may_wait(request, found) else None)


def _may_wait(request: Command, found: OnPds) -> bool:
    """Whether to wait: a PDS that did not answer just now will not have the record in a moment."""
    return found is not OnPds.UNKNOWN or request.preferred_wait_seconds is not None


async def _require_uploadable(services: Services, reads: CallerReads, place: Place) -> None:
    audio = place.track.audio
    if not await reads.is_stored(audio.cid):
        raise MediaNotFoundError
    limit = min(AUDIO_BLOB_BYTES, await blob_limit(services, place) or AUDIO_BLOB_BYTES)
    if audio.size > limit:
        raise BlobTooLargeError(limit)
