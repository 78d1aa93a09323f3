"""Commands on records at the PDS, of one track or of all: restored, moved, adopted, with their audio copied."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from aggregates.errors import GatedTrackError
from aggregates.published import Published, Subject
from aggregates.tracks.track import Track
from api.auth.authentication import ServicesDep, SignedIn, Writer
from api.json_response import response_of, result_of
from api.middleware.http_layer import over_http
from api.openapi import fields_of
from api.pipeline.command_request import Command, CommandRequest, Respond
from api.pipeline.idempotent_request import Idempotent
from api.pipeline.media_request import CallerReads, Reads
from api.pipeline.pds import blob_limit, look, place_of
from api.requests.body import fields_as
from api.requests.fields import Flag
from api.requests.parameters import Id, StrictRoute, TrackId, WaitPreference
from api.responses.mirror import ShownKind
from api.responses.progress import AdoptionBody, MigrationBody, adoption_body, migration_report
from api.responses.reader import SubjectReader
from api.responses.track import MirrorBody, TrackBody, mirror_of, track_now
from application.account import request_adoption
from application.errors import (
    BlobRefusedError,
    BlobTooLargeError,
    LeavingError,
    MediaNotFoundError,
    TrackNotFoundError,
)
from application.records import (
    AUDIO_BLOB_BYTES,
    OnPds,
    change_namespace,
    copy_all_audio_to_pds,
    copy_audio_to_pds,
    restore_record,
)
from application.subjects import A, On, load_owned
from eventstore.idempotency import CommandResult
from eventstore.jobs.queue import is_unfinished
from eventstore.jobs.table import UNFINISHED
from eventstore.streams.buckets import bucket_of
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import AccountState
from outbox.blobs.jobs import MISSING_REASON, TOO_LARGE_REASON
from outbox.mirror.states import LaneState, MirrorReason, MirrorState
from outbox.record.kind import RecordKind
from projections.tracks.queries import track_by_id
from replay.adoption import adopt as adoptions

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

    success: bool
    message: str
    reason: str | None


class RestoringBody(Accepted, RestoredBody):
    """The restoration is recorded."""


class MovingBody(Accepted, MovedBody):
    """The move is recorded."""


class MigratingBody(Accepted, MigratedBody):
    """The copy is requested."""

    mirror: MirrorBody


MIGRATED: Final = "track audio migrated to PDS successfully"
WAS_THERE: Final = "track already has PDS blob"
ON_ITS_WAY: Final = "The request is recorded; the PDS has not confirmed it yet. See `mirror`."
MESSAGES: Final[dict[str | None, str]] = {
    LaneState.AUTH_REQUIRED: "The request is recorded and continues after the account signs in again.",
    MirrorReason.MIGRATION_NEEDED: "The request is recorded, but the old collection holds a record under the same key. "
    "Nothing is written beside it; move that one: POST /tracks/{id}/migrate-namespace.",
}
"""By the reason that a request is not done."""


def restored_record(reader: SubjectReader, subject: Subject) -> CommandResult:
    track = track_now(reader, subject)
    mirror, not_ours = track.mirror, {MirrorState.HELD, MirrorState.DETACHED}
    if mirror.acked_generation >= mirror.generation and mirror.state not in not_ours:  # the blob may follow
        body = RestoredBody(success=True, track=track, restored_uri=track.atproto_record_uri)
        return result_of(body, 200, **track.headers)
    return _recorded(RestoringBody, track, {"track": track, "restored_uri": None})


def moved_record(reader: SubjectReader, subject: Subject) -> CommandResult:
    """Return 200 once the record is in the new collection and gone from the old one, else 202."""
    track = track_now(reader, subject)
    mirror = mirror_of(reader.connection, track.artist_did, subject.id)
    if mirror.is_settled:
        body = MovedBody(success=True, track=track, migrated_uri=track.atproto_record_uri)
        return result_of(body, 200, **track.headers)
    of_left = mirror.left[0].reason if mirror.left else None
    fields = {"track": track, "migrated_uri": None}
    return _recorded(MovingBody, track, fields, track.mirror.reason or of_left)


class CopyResults:
    def __init__(self) -> None:
        self._message = WAS_THERE

    def show(self, reader: SubjectReader, subject: Subject) -> CommandResult:
        """Return 200 once the record on the PDS names the audio, else 202; raises what refused the audio for good."""
        track = track_now(reader, subject)
        copied: dict[str, Any] = {"track_id": subject.id, "pds_blob_cid": track.pds_blob_cid}
        if track.audio_storage == "both":
            return result_of(MigratedBody(success=True, message=self._message, **copied))
        self._message = MIGRATED  # from here on this request did it
        _refuse_what_failed_for_good(reader.connection, subject.id)
        return _recorded(MigratingBody, track, {**copied, "mirror": track.mirror})


def _refuse_what_failed_for_good(connection: sa.Connection, track_id: int) -> None:
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
        said = mirror_of(connection, view.did, track_id).blob_error
        raise BlobRefusedError(view.blob_failure, said or view.blob_failure)


def _recorded(
    body: type[Accepted], track: TrackBody, fields: dict[str, Any], reason: str | None = None
) -> CommandResult:
    """Return 202 with the reason that it is not done, and where to follow it."""
    reason = reason or track.mirror.reason
    fields |= {"message": MESSAGES.get(reason, ON_ITS_WAY), "reason": reason}
    return result_of(body(success=False, **fields), 202, Location=f"/tracks/{track.id}/mirror")


def accepted(done: type[BaseModel], until_then: type[Accepted]) -> dict[str, Any]:
    """Return the options of a command whose answer is another one until the PDS has confirmed it."""
    description = "Recorded, but not confirmed by the PDS yet; Location says where to look."
    return {
        "response_model": done,
        "responses": {202: {"model": until_then, "description": description}},
    }


@router.post("/tracks/{track_id}/restore-record", **accepted(RestoredBody, RestoringBody))
async def restore(track_id: TrackId, request: Command) -> Response:
    """Bring back a record that was deleted elsewhere: same key, same content.

    One that the old collection has instead is refused: migrate-namespace moves it.
    """
    return await answer_repair(request.on(Track, track_id), request, restore_record, restored_record)


async def answer_repair(
    on: On[A],
    request: CommandRequest,
    use_case: Callable[[UnitOfWork, Published, RecordKind, OnPds], Published],
    show: Respond,
    *,
    in_old_alone: bool = False,
) -> Response:
    """Bring the record to its place, given what the PDS holds there, or in the old collection alone."""
    services, on_pds = request.services, OnPds.UNKNOWN
    async with request.begin(on=on, default_wait_seconds=DEFAULT_WAIT_SECONDS) as attempt:
        if not attempt.is_repetition:
            place = await place_of(services, request.principal.did, on)
            on_pds = await look(services, place, in_old_alone=in_old_alone)
            kind = services.kinds[on.kind]
            await attempt.commit(lambda unit: use_case(unit, load_owned(unit, on), kind, on_pds), show)
    # a PDS that did not answer just now will not have the record in a moment
    waits = on_pds is not OnPds.UNKNOWN or request.preferred_wait_seconds is not None
    return await attempt.response(waits=waits, for_all=in_old_alone)


def restore_routes(kind: ShownKind[Any], body: type[BaseModel], show: Respond) -> APIRouter:
    """Return the route of a kind whose records are restored and answered as they are."""
    router = APIRouter(prefix=kind.path, tags=["records"], route_class=StrictRoute)

    @router.post("/restore-record", response_model=body)
    async def restore(subject_id: Annotated[Id, kind.in_path], request: Command) -> Response:
        """Bring back a record that was deleted elsewhere: same key, same content."""
        return await answer_repair(kind.on(subject_id, request.versions), request, restore_record, show)

    return router


@router.post("/tracks/{track_id}/migrate-to-pds", **accepted(MigratedBody, MigratingBody))
async def migrate(track_id: TrackId, request: Command, reads: Reads) -> Response:
    """Copy the audio to the PDS; it counts as there once the record names it."""
    return await answer_copy(track_id, request, reads, CopyResults().show)


async def answer_copy(track_id: int, request: CommandRequest, reads: CallerReads, show: Respond) -> Response:
    services, on = request.services, request.on(Track, track_id)
    async with request.begin(on=on, default_wait_seconds=DEFAULT_WAIT_SECONDS) as attempt:
        if not attempt.is_repetition:
            place = await place_of(services, request.principal.did, on)
            if place.subject.support_gate is not None:
                raise GatedTrackError
            if place.subject.blob is None:
                audio = place.subject.audio
                if not await reads.is_stored(audio.cid):
                    raise MediaNotFoundError
                limit = min(
                    AUDIO_BLOB_BYTES,
                    await blob_limit(services, place.subject.did, place.host) or AUDIO_BLOB_BYTES,
                )
                if audio.size > limit:
                    raise BlobTooLargeError(limit)
            await attempt.commit(lambda unit: copy_audio_to_pds(unit, on), show)
    return await attempt.response(for_all=True)


@router.post("/tracks/{track_id}/migrate-namespace", **accepted(MovedBody, MovingBody))
async def move(track_id: TrackId, request: Command) -> Response:
    """Move the record from the old collection to the current one: same key, same content. It exists in at least one at every moment.

    One that only the PDS knows to be in the old collection moves, too.
    """
    on = request.on(Track, track_id)
    return await answer_repair(on, request, change_namespace, moved_record, in_old_alone=True)


ADOPTION: Final = "/me/adopt"
POLL_SECONDS: Final = 0.2


@router.post(
    ADOPTION,
    status_code=202,
    response_model=AdoptionBody,
    responses={200: {"model": AdoptionBody}},
)
async def adopt(
    principal: Writer, services: ServicesDep, prefer: WaitPreference, request: Idempotent
) -> Response:
    """Make tracks of all the caller's records that are not tracks yet, in the old collection too; nothing is written to the PDS.

    It runs in the background, one job per account; a repeated request joins the running job. 200 if it finishes within
    `Prefer: wait`. Location says where to follow it.
    """
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            await attempt.run(request_adoption, services.log, did, over_http(did))
            services.wake(bucket_of(did))
            await attempt.finish(_adopted(await run_in_threadpool(read_adoption, principal, services)))
    if attempt.is_repetition or not prefer:
        return response_of(attempt.result)

    def is_adopting() -> bool:
        with services.database.read_committed() as connection:
            return is_unfinished(connection, adoptions.ADOPTION, did)  # the job itself may be large

    ends = time.monotonic() + prefer
    while await run_in_threadpool(is_adopting) and time.monotonic() < ends:  # noqa: ASYNC110 - a row
        await asyncio.sleep(POLL_SECONDS)  # no thread is held meanwhile
    report = await run_in_threadpool(read_adoption, principal, services)
    return response_of(_adopted(report), {"Preference-Applied": f"wait={prefer}"})


@router.get(ADOPTION)
def read_adoption(principal: SignedIn, services: ServicesDep) -> AdoptionBody:
    """Read the progress: which records became tracks, and which cannot, and why."""
    with services.database.read() as connection:
        return adoption_body(connection, principal.did)


def _adopted(report: AdoptionBody) -> CommandResult:
    return result_of(report, 202 if report.state in UNFINISHED else 200, Location=ADOPTION)


MIGRATION = "/me/migrate-to-pds"


class MigrateFields(BaseModel):
    retry_failed: Flag = Field(False, description="whether to request again what the PDS refused")


@router.post(MIGRATION, status_code=202, response_model=MigrationBody, openapi_extra=fields_of(MigrateFields))
async def migrate_everything(principal: Writer, services: ServicesDep, request: Idempotent) -> Response:
    """Request a copy on the PDS of all audio that may be there and is not. Copies go behind live work; a repeated request requests nothing twice.

    Audio that the PDS refused is requested again only with retry_failed. Location says where to follow it.
    """
    did = principal.did
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            if principal.state is AccountState.LEAVING:
                raise LeavingError
            retry_failed = fields_as(MigrateFields, attempt.body).retry_failed
            copy_all = partial(copy_all_audio_to_pds, services.log, services.event_budget)
            requested = await attempt.run(copy_all, did, over_http(did), failed_too=retry_failed)
            services.wake(bucket_of(did))
            report = await run_in_threadpool(read_migration, principal, services)
            report = report.model_copy(update={"requested": requested})
            await attempt.finish(result_of(report, 202, Location=MIGRATION))
    return response_of(attempt.result)


@router.get(MIGRATION)
def read_migration(principal: SignedIn, services: ServicesDep) -> MigrationBody:
    """Read how much of the caller's audio is on the PDS, pending, refused and why, or excluded."""
    with services.database.read() as connection:
        return migration_report(connection, principal.did)
