"""Changes tracks for the peer's clients: what the peer does in a job is done here when the request is answered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError, SignInRequiredError
from aggregates.published import Subject
from aggregates.tracks.track import Track
from aggregates.values import Downloads, SupportGate
from api.auth.authentication import ServicesDep, SignedIn
from api.error_responses import rule_of
from api.json_response import AsciiJsonResponse, result_of
from api.openapi import names
from api.pipeline.command_request import Command, CommandRequest
from api.pipeline.media_request import Reads
from api.plyr.reading import ROUTER, Json, PeerTrackId, Reader
from api.plyr.track import PUBLIC, SUPPORTERS, UNLISTED, TrackResponse, album_with, track_responses
from api.requests.body import NONE, Body, fields_as
from api.requests.fields import Structured, TrackFields
from api.requests.parameters import NO_TRACK, OneOf, require_known_fields
from api.responses.reader import SubjectReader
from api.responses.track import deleted_track
from api.routers.records.records import CopyResults, answer_copy, answer_repair, restored_record
from api.routers.tracks.writes import (
    answer_change,
    answer_replacement,
    answer_upload,
    edit_command,
    upload_command,
)
from api.services import Services
from application.errors import TrackNotFoundError
from application.records import restore_record
from application.subjects import On, delete_owned, require_owned
from application.tracks.commands import EditTrack, RegisterTrack
from application.tracks.revert import (
    RestoreAudio,
    audio_revisions,
    state_with_audio,
)
from eventstore.idempotency import CommandResult
from eventstore.streams.ids import peer_ids_of, track_id_of
from eventstore.untrusted import whole_number
from outbox.views.status import needs_sign_in
from projections.tracks.queries import count_in_collection, track_by_id
from projections.tracks.table import TrackView
from storage.artwork import MAX_BYTES as IMAGE_BYTES

OURS: Final = ("support_gate", "unlisted")
GATE: Final = SupportGate("any")


class Policy(BaseModel):
    """The peer's words for it; every other one would be wider access here, or is unknown."""

    listening: Annotated[str, OneOf((PUBLIC, SUPPORTERS))] = PUBLIC
    visibility: Annotated[str, OneOf((PUBLIC, UNLISTED))] = PUBLIC
    downloads: Annotated[str, OneOf(tuple(Downloads))] = Downloads.OPEN.value


class Publishing(BaseModel):
    """What the peer's clients send with a track; this service attaches no rights."""

    access: Policy = Policy()
    attach_rights: Literal[False] = False


class PeerFields(BaseModel):
    """What our own routes do not take: `publishing`, or in older clients `visibility`, says who may have a track."""

    publishing: Annotated[dict[str, Any] | None, Structured] = None
    visibility: str | None = None
    album_id: str | None = None
    settings: Annotated[dict[str, Any] | None, Structured] = None


def access_of(body: Body) -> dict[str, Any]:
    """Return what `publishing` or `visibility` says of OURS and `downloads`; nothing without either. Raises InvalidFieldError."""
    asked = fields_as(PeerFields, body)
    if asked.publishing is None:
        word = asked.visibility
        if word is None:
            return {}
        _require_absent(body, OURS, beside="visibility")
        if word not in (PUBLIC, UNLISTED, SUPPORTERS):
            raise InvalidFieldError("visibility", f"must be one of: {PUBLIC}, {UNLISTED}, {SUPPORTERS}")
        return _access(word, word, Downloads.OPEN)
    _require_absent(body, ("visibility", *OURS), beside="publishing")
    return access_in(asked.publishing, "publishing")


def _require_absent(body: Body, fields: Sequence[str], *, beside: str) -> None:
    """Raise InvalidFieldError where two fields say who may have the track: the wider one could win."""
    for field in fields:
        if body.fields.get(field) not in NONE:
            raise InvalidFieldError(field, f"must not be sent together with `{beside}`")


def _access(listening: str | None, visibility: str | None, downloads: str) -> dict[str, Any]:
    return {
        "support_gate": GATE if listening == SUPPORTERS else None,
        "unlisted": visibility == UNLISTED,
        "downloads": Downloads(downloads),
    }


def access_in(settings: dict[str, Any], field: str) -> dict[str, Any]:
    """Return what the peer's object says that `field` holds; raises InvalidFieldError or UnknownFieldError."""
    require_known_fields(settings, Publishing.model_fields, inside=f"{field}.")
    if isinstance(settings.get("access"), dict):
        require_known_fields(settings["access"], Policy.model_fields, inside=f"{field}.access.")
    try:
        policy = Publishing.model_validate(settings).access
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, (field, *first["loc"])))
        raise InvalidFieldError(name, rule_of(first["msg"])) from None
    return _access(policy.listening, policy.visibility, policy.downloads)


class PlyrResults:
    """Each reads the state of the track as it is now, for its owner."""

    def __init__(self, request: CommandRequest) -> None:
        self._urls = request.services.urls
        self._owner = request.principal
        self._copied = CopyResults()

    def track(self, reader: SubjectReader, subject: Subject) -> CommandResult:
        return result_of(self._track(reader, subject))

    def uploaded(self, reader: SubjectReader, subject: Subject) -> CommandResult:
        """Return at once what the peer tells at the end of its progress stream, which repeats it."""
        return CommandResult(200, completed(self._track(reader, subject).model_dump(mode="json")), {})

    def deleted(self, reader: SubjectReader, subject: Subject) -> CommandResult:
        message = deleted_track(reader, subject).fields["message"]
        return CommandResult(200, {"message": message}, {})

    def restored(self, reader: SubjectReader, subject: Subject) -> CommandResult:
        """Return as restore-record of ours, with the record's address before the PDS has confirmed it.

        Raises SignInRequiredError for what only a sign-in lets go on.
        """
        ours = self._require_login(reader, restored_record(reader, subject))
        track = self._track(reader, subject).model_dump(mode="json")
        told = {"track": track, "restored_uri": ours.fields["track"]["atproto_record_uri"]}
        return CommandResult(ours.status, {**ours.fields, **told}, {})

    def copied(self, reader: SubjectReader, subject: Subject) -> CommandResult:
        """Return as migrate-to-pds of ours; raises SignInRequiredError for what only a sign-in lets go on."""
        ours = self._require_login(reader, self._copied.show(reader, subject))
        shown_as = self._track(reader, subject).id
        return CommandResult(ours.status, {**ours.fields, "track_id": shown_as}, {})

    def _require_login(self, reader: SubjectReader, result: CommandResult) -> CommandResult:
        """In the unit of the command this undoes it: the peer's page takes every 2xx for done."""
        is_done = result.status == HTTPStatus.OK
        if not is_done and needs_sign_in(reader.connection, self._owner.did):
            raise SignInRequiredError(self._owner.did)
        return result

    def _track(self, reader: SubjectReader, subject: Subject) -> TrackResponse:
        view = track_by_id(reader.connection, subject.id)
        if view is None:
            raise TrackNotFoundError
        return track_responses(reader.connection, [view], self._urls, self._owner)[0]


def completed(track: Json) -> Json:
    """Return the event that ends an upload's progress stream; the upload is known by its track's id."""
    return {
        "upload_id": str(track["id"]),
        "status": "completed",
        "message": "upload completed",
        "error": None,
        "phase": None,
        "server_progress_pct": 100,
        "created_at": track["created_at"],
        "completed_at": track["created_at"],
        "track_id": track["id"],
        "title": track["title"],
        "warnings": [],
        "atproto_uri": track["atproto_record_uri"],
        "atproto_cid": track["atproto_record_cid"],
    }


router: Final = APIRouter(**ROUTER)

FIELDS: Final = tuple(name for name in TrackFields.model_fields if name != "downloads")
NOT_HELD: Final[Mapping[str, str]] = {
    "copyright": "this service keeps no rights",
    "auto_tag": "this service tags nothing by itself",
}
UPLOAD_BODY: Final = names("file", *FIELDS, "image", "album_id", *NOT_HELD, "publishing", "visibility")


@router.post("/tracks", openapi_extra=UPLOAD_BODY)
@router.post("/tracks/", openapi_extra=UPLOAD_BODY)
async def upload(request: Command) -> Response:
    """Upload a track. What is refused because a track cannot hold it is checked first."""

    async def parse(request: CommandRequest, body: Body) -> RegisterTrack:
        for field, why in NOT_HELD.items():
            if body.fields.get(field) not in (*NONE, "null", "false"):
                raise InvalidFieldError(field, f"must not be sent: {why}")
        access = access_of(body)
        fields = {name: value for name, value in body.fields.items() if name in FIELDS}
        if album_id := fields_as(PeerFields, body).album_id:
            if fields.get("album"):
                raise InvalidFieldError("album_id", "album and album_id are mutually exclusive")
            album = await run_in_threadpool(album_with, request.services, request.principal.did, album_id)
            if album is None:
                raise InvalidFieldError("album_id", "must be the id of an album of yours")
            fields["album"] = album.name
        return replace(await upload_command(request, replace(body, fields=fields)), **access)

    return await answer_upload(request, parse, PlyrResults(request).uploaded)


@router.put("/tracks/{track_id}/audio", openapi_extra=names("file"))
async def replace_file(track_id: PeerTrackId, request: Command) -> Response:
    return await answer_replacement(track_id, request, PlyrResults(request).uploaded)


@router.get("/tracks/uploads/{upload_id}/progress")
async def follow_upload(upload_id: str, reader: Reader) -> Response:
    """Tell, as one server-sent event, that the upload is complete, or that there was none."""
    number = whole_number(upload_id) or NO_TRACK

    def find(connection: sa.Connection) -> TrackView | None:
        return track_by_id(connection, track_id_of(connection, number) or NO_TRACK)

    try:
        event = completed(await reader.one(find))
    except TrackNotFoundError:
        failed = {"status": "failed", "message": "upload job not found", "error": "job lost"}
        event = {"upload_id": upload_id, **failed}
    return Response(f"data: {json.dumps(event)}\n\n", media_type="text/event-stream")


@router.patch("/tracks/{track_id}", openapi_extra=names(*FIELDS, "image", "publishing", "remove_image"))
async def edit(track_id: PeerTrackId, request: Command) -> Response:
    async def parse(request: CommandRequest, track_id: int, body: Body) -> EditTrack:
        access = access_of(body)
        fields = {name: value for name, value in body.fields.items() if name != "publishing"}
        command = await edit_command(request, track_id, replace(body, fields=fields))
        return replace(command, changes={**command.changes, **access})

    show = PlyrResults(request).track
    return await answer_change(track_id, request, parse, show, files={"image": IMAGE_BYTES})


@router.delete("/tracks/{track_id}")
async def delete(track_id: PeerTrackId, request: Command) -> Response:
    on, show = request.on(Track, track_id), PlyrResults(request).deleted
    return await request.answer(partial(delete_owned, on=on), show, on=on)


@router.post("/tracks/{track_id}/publishing", openapi_extra=names("settings"))
async def change(track_id: PeerTrackId, request: Command) -> Response:
    """Change who may find, hear and download a track, all of it at once; the job has the track's id."""

    async def parse(request: CommandRequest, track_id: int, body: Body) -> EditTrack:
        settings = fields_as(PeerFields, body).settings
        if settings is None:
            raise InvalidFieldError("settings", "must be there: artists have no defaults here")
        return EditTrack(Track, track_id, request.versions, changes=access_in(settings, "settings"))

    def job(reader: SubjectReader, subject: Subject) -> CommandResult:
        shown_as = peer_ids_of(reader.connection, [subject.id])[subject.id]
        return CommandResult(200, {"job_id": str(shown_as)}, {})

    return await answer_change(track_id, request, parse, job)


@router.get("/tracks/publishing-jobs/{track_id}")
def read_job(track_id: PeerTrackId, principal: SignedIn, services: ServicesDep) -> Response:
    with services.database.read() as connection:
        require_owned(services.log, connection, principal.did, On(Track, track_id))
        shown_as = peer_ids_of(connection, [track_id])[track_id]
    done: dict[str, Any] = {"status": "completed", "message": "access updated"}
    return AsciiJsonResponse({**done, "updated_track_ids": [shown_as], "failed_track_ids": []})


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


@router.get("/tracks/{track_id}/revisions")
def list_revisions(track_id: PeerTrackId, principal: SignedIn, services: ServicesDep) -> Response:
    with services.database.read() as connection:
        track = require_owned(services.log, connection, principal.did, On(Track, track_id))
        shown_as, revisions = _revisions(connection, services, track)
    return AsciiJsonResponse({"track_id": shown_as, "revisions": revisions})


@router.post("/tracks/{track_id}/revisions/{revision_id}/restore")
async def restore_audio(
    track_id: PeerTrackId, revision_id: Annotated[int, Path(ge=1)], request: Command
) -> Response:
    """Give the track its earlier audio again; answers with the revision of the displaced audio."""
    services, on = request.services, request.on(Track, track_id)

    def now(connection: sa.Connection) -> Track:
        return require_owned(services.log, connection, request.principal.did, on)

    async def parse(request: CommandRequest, track_id: int, _body: Body) -> RestoreAudio:
        def past() -> Track:
            with services.database.read() as connection:
                return state_with_audio(services.log, connection, now(connection), revision_id)

        return RestoreAudio(Track, track_id, request.versions, past=await run_in_threadpool(past))

    def displaced(reader: SubjectReader, _restored: Subject) -> CommandResult:
        connection = reader.connection
        return CommandResult(200, _revisions(connection, services, now(connection))[1][0], {})

    return await answer_change(track_id, request, parse, displaced)


def _revisions(
    connection: sa.Connection, services: Services, track: Track
) -> tuple[int, list[dict[str, Any]]]:
    """Return the id that the peer's clients know, and the revisions."""
    shown_as = peer_ids_of(connection, [track.track_id])[track.track_id]
    bodies = (
        RevisionBody(
            id=each.id,
            track_id=shown_as,
            created_at=each.replaced_at,
            file_type=each.audio.file_type,
            audio_storage="both" if each.on_pds else "r2",
            duration=each.audio.duration,
            was_gated=each.was_gated,
        )
        for each in audio_revisions(services.log, connection, track)
    )
    return shown_as, [body.model_dump(mode="json") for body in bodies]


@router.post("/tracks/{track_id}/restore-record")
async def restore(track_id: PeerTrackId, request: Command) -> Response:
    """Bring back a record that was deleted elsewhere; without a login at the PDS nothing is recorded."""
    on, show = request.on(Track, track_id), PlyrResults(request).restored
    return await answer_repair(on, request, restore_record, show)


@router.post("/tracks/{track_id}/migrate-to-pds")
async def migrate(track_id: PeerTrackId, request: Command, reads: Reads) -> Response:
    """Copy the audio to the PDS; without a login there nothing is recorded."""
    return await answer_copy(track_id, request, reads, PlyrResults(request).copied)


@router.get("/migration/check")
def check(principal: SignedIn, services: ServicesDep) -> Response:
    kind = services.kinds[Track.TOPIC]
    with services.database.read() as connection:
        count = count_in_collection(connection, principal.did, kind.old_collection or "")
    return AsciiJsonResponse(
        {
            "needs_migration": count > 0,
            "old_record_count": count,
            "old_collection": kind.old_collection,
            "new_collection": kind.collection,
            "did": principal.did,
        }
    )
