"""Commands that are about the record on the PDS: they look there first, and wait for it a while."""

from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from aggregates.errors import GatedTrackError
from api.openapi import command_errors
from api.pipeline.command_request import Command, Tell
from api.pipeline.pds_preflight import Place, blob_limit, look, place_of
from api.pipeline.prefer_wait import wait_for_all, wait_for_blob, wait_for_mirror
from api.requests.body import Body
from api.requests.path_params import TrackId
from api.responses.record_commands import MigrateAnswers, MoveAnswers, RestoreAnswers
from api.responses.track import TrackBody
from api.services import Services
from application.authorization import OnTrack
from application.errors import BlobTooLargeError, MediaNotFoundError
from application.records.change_namespace import MigrateNamespace, migrate_namespace
from application.records.copy_audio_to_pds import AUDIO_BLOB_BYTES, migrate_to_pds
from application.records.restore_record import OnPds, RestoreRecord, restore_record

router = APIRouter(tags=["records"])

USUAL_WAIT: Final = 10


class RestoredBody(BaseModel):
    """The record is back, or, with 202, asked for."""

    success: bool
    track: TrackBody
    restored_uri: str | None


class MovedBody(BaseModel):
    """The record is in its new place and nothing is left in the old one, or, with 202, will be."""

    success: bool
    track: TrackBody
    migrated_uri: str | None


class MigratedBody(BaseModel):
    """The record names the audio on the PDS, or, with 202, will."""

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
    responses={**command_errors(400), **ACCEPTED},
)
async def restore(track_id: TrackId, command: Command) -> Response:
    """Bring back a record that was deleted elsewhere: same key, same content."""
    services = command.services
    seen = OnPds.UNKNOWN

    async def prepare(_body: Body) -> Tell:
        nonlocal seen
        seen = await look(services, await place_of(services, command.principal.did, track_id))
        told = RestoreRecord(track_id, command.versions, on_pds=seen, old_collection=services.old_collection)
        return lambda unit: restore_record(unit, told)

    async def wait(services: Services, track_id: int, generation: int, seconds: float) -> None:
        if seen is not OnPds.UNKNOWN or command.wait is not None:  # who does not answer now won't in a moment
            await wait_for_mirror(services, track_id, generation, seconds)

    show = RestoreAnswers(services.urls).show
    return await command.perform(prepare, show, on=track_id, wait=wait, default_wait=USUAL_WAIT)


@router.post(
    "/tracks/{track_id}/migrate-to-pds",
    response_model=MigratedBody,
    responses={**command_errors(400, 413), **ACCEPTED},
)
async def migrate(track_id: TrackId, command: Command) -> Response:
    """Copy the audio to the PDS; it counts as there once the record names it."""
    services = command.services
    answers = MigrateAnswers(services.urls)

    async def prepare(_body: Body) -> Tell:
        place = await place_of(services, command.principal.did, track_id)
        if place.track.support_gate is not None:
            raise GatedTrackError
        if place.track.blob is None:
            await _require_uploadable(services, place)
        return lambda unit: migrate_to_pds(unit, OnTrack(track_id, command.versions))

    return await command.perform(
        prepare, answers.show, on=track_id, wait=wait_for_blob, default_wait=USUAL_WAIT
    )


@router.post(
    "/tracks/{track_id}/migrate-namespace",
    response_model=MovedBody,
    responses={**command_errors(400), **ACCEPTED},
)
async def move(track_id: TrackId, command: Command) -> Response:
    """Move the record from the old collection to the current one: same key, same content; it exists in at least one at every moment."""
    services = command.services
    told = MigrateNamespace(
        track_id, command.versions, old_collection=services.old_collection, collection=services.collection
    )

    async def prepare(_body: Body) -> Tell:
        return lambda unit: migrate_namespace(unit, told)

    show = MoveAnswers(services.urls).show
    return await command.perform(prepare, show, on=track_id, wait=wait_for_all, default_wait=USUAL_WAIT)


async def _require_uploadable(services: Services, place: Place) -> None:
    audio = place.track.audio
    if not await run_in_threadpool(_has_bytes, services, audio.cid):
        raise MediaNotFoundError
    limit = min(AUDIO_BLOB_BYTES, await blob_limit(services, place) or AUDIO_BLOB_BYTES)
    if audio.size > limit:
        raise BlobTooLargeError(limit)


def _has_bytes(services: Services, cid: str) -> bool:
    found = services.media.find(cid)
    return found is not None and services.media.store.size(found.key) == found.size
