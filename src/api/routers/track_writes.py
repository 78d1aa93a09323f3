"""Commands on tracks: upload, edit, replace the audio, delete, bring back."""

from contextlib import AbstractContextManager
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from aggregates.values import Artwork
from api.errors import MissingPartError
from api.openapi import FILE, TRACK_FIELDS, command_errors, either, multipart
from api.pipeline.command_request import Command, CommandRequest, Tell
from api.pipeline.concurrency import ConcurrentUploads
from api.pipeline.media_intake import MediaWork
from api.pipeline.public_copy import publishing
from api.requests.body import Body
from api.requests.path_params import TrackId
from api.requests.track_fields import features_of, metadata_of, support_gate_of
from api.responses.track import TrackBody
from api.responses.track_commands import TrackAnswers
from application.authorization import OnTrack, require_no_duplicate
from application.tracks.delete import delete_track, undelete_track
from application.tracks.edit import KEEP, EditTrack, Keep, edit_track
from application.tracks.register import RegisterTrack, artist_name, register_track
from application.tracks.replace_audio import ReplaceAudio, replace_audio
from storage.artwork import MAX_BYTES as IMAGE_BYTES
from storage.artwork import PreparedArtwork

router = APIRouter(tags=["tracks"])


@router.post(
    "/tracks",
    status_code=201,
    response_model=TrackBody,
    responses=command_errors(400, 413, 415),
    openapi_extra=multipart(["file", "title"], file=FILE, **TRACK_FIELDS, image=FILE),
)
async def upload_track(request: Request, command: Command) -> Response:
    """Upload a track. Its record on the PDS follows; see `mirror` for its state."""
    services, work = command.services, media_work(request)

    async def prepare(body: Body) -> Tell:
        if "file" not in body.files:
            raise MissingPartError("file")
        if "title" not in body:
            raise MissingPartError("title")
        fields: dict[str, Any] = {
            **metadata_of(body),
            "support_gate": support_gate_of(body),
            "unlisted": body.flag("unlisted"),
        }
        fields["features"] = await features_of(body, services.resolver, command.principal.did)
        _refuse_image_as_text(body)
        audio = await work.read_audio(body.files["file"])
        image = await read_image(work, body)
        fields["artist"] = await run_in_threadpool(_before_storing, command, audio.cid)
        await work.keep_audio(body.files["file"], audio)
        fields["artwork"] = await work.keep_artwork(image) if image else None
        register = RegisterTrack(audio=audio, collection=services.collection, **fields)
        await public.before_upload(audio, register.support_gate)
        return public.through(lambda unit: register_track(unit, register, services.media))

    files = {"file": services.max_upload_bytes, "image": IMAGE_BYTES}
    show, place = TrackAnswers(services.urls).created, uploading(request, command)
    async with publishing(services, work) as public:
        return await command.perform(prepare, show, files=files, within=place)


@router.patch(
    "/tracks/{track_id}",
    response_model=TrackBody,
    responses=command_errors(400, 413, 415),
    openapi_extra=either([], {"image": FILE}, **TRACK_FIELDS, remove_image={"type": "boolean"}),
)
async def edit(request: Request, track_id: TrackId, command: Command) -> Response:
    """Change the given fields: an empty one is cleared, an absent one is left unchanged."""
    services, work = command.services, media_work(request)

    async def prepare(body: Body) -> Tell:
        metadata = metadata_of(body)
        gate = support_gate_of(body) if "support_gate" in body else KEEP
        unlisted = body.flag("unlisted") if "unlisted" in body else None
        removed = _removes_image(body)
        if "features" in body:
            metadata["features"] = await features_of(body, services.resolver, command.principal.did)
        image = None if removed else await read_image(work, body)
        artwork: Artwork | Keep | None = None if removed else KEEP
        if image is not None:
            artwork = await work.keep_artwork(image)
        told = EditTrack(track_id, command.versions, metadata, gate, unlisted, artwork)
        if gate is None:
            await public.before_ungating(told)
        return public.through(lambda unit: edit_track(unit, told, services.media))

    files = {"image": IMAGE_BYTES}
    async with publishing(services, work) as public:
        return await command.perform(prepare, TrackAnswers(services.urls).track, on=track_id, files=files)


@router.put(
    "/tracks/{track_id}/audio",
    response_model=TrackBody,
    responses=command_errors(400, 413, 415),
    openapi_extra=multipart(["file"], file=FILE),
)
async def replace(request: Request, track_id: TrackId, command: Command) -> Response:
    """Replace the audio; everything else stays."""
    services, work = command.services, media_work(request)

    async def prepare(body: Body) -> Tell:
        if "file" not in body.files:
            raise MissingPartError("file")
        audio = await work.read_audio(body.files["file"])
        await run_in_threadpool(_refuse_duplicate, command, audio.cid, track_id)
        await work.keep_audio(body.files["file"], audio)
        told = ReplaceAudio(track_id=track_id, versions=command.versions, audio=audio)
        await public.before_replacing(told, audio)
        return public.through(lambda unit: replace_audio(unit, told, services.media))

    files = {"file": services.max_upload_bytes}
    show, place = TrackAnswers(services.urls).track, uploading(request, command)
    async with publishing(services, work) as public:
        return await command.perform(prepare, show, on=track_id, files=files, within=place)


@router.delete("/tracks/{track_id}", responses=command_errors())
async def delete(track_id: TrackId, command: Command) -> Response:
    """Delete the track and its record; it can be undeleted while its bytes are kept."""

    async def prepare(_body: Body) -> Tell:
        return lambda unit: delete_track(unit, OnTrack(track_id, command.versions))

    show = TrackAnswers(command.services.urls).deleted
    return await command.perform(prepare, show, on=track_id, leaving_too=True)


@router.post("/tracks/{track_id}/undelete", response_model=TrackBody, responses=command_errors())
async def undelete(request: Request, track_id: TrackId, command: Command) -> Response:
    """Undelete a track, with the same record key; a live one is left unchanged."""
    services, told = command.services, OnTrack(track_id, command.versions)

    async def prepare(_body: Body) -> Tell:
        await public.before_undeleting(told)
        return public.through(lambda unit: undelete_track(unit, told, services.media))

    async with publishing(services, media_work(request)) as public:
        return await command.perform(
            prepare, TrackAnswers(services.urls).track, on=track_id, deleted_too=True
        )


def uploading(request: Request, command: CommandRequest) -> AbstractContextManager[None]:
    """Take one of the account's places for uploads."""
    uploads: ConcurrentUploads = request.app.state.uploads
    return uploads.of(command.principal.did)


def media_work(request: Request) -> MediaWork:
    """Return the thread pool that inspects files."""
    work: MediaWork = request.app.state.media_work
    return work


async def read_image(work: MediaWork, body: Body) -> PreparedArtwork | None:
    """Look at the cover, if there is one."""
    return await work.read_artwork(body.files["image"]) if "image" in body.files else None


def _refuse_image_as_text(body: Body) -> None:
    if body.text("image"):
        raise InvalidFieldError("image", "must be sent as a file of a multipart body")


def _removes_image(body: Body) -> bool:
    _refuse_image_as_text(body)
    return body.flag("remove_image") or "image" in body


def _before_storing(command: CommandRequest, audio_cid: str) -> str:
    """Refuse what the unit would refuse too, before bytes are stored for nothing; give the artist's name."""
    _refuse_duplicate(command, audio_cid)
    account = command.services.accounts.get(command.principal.did)
    name: Any = account.display_name if account is not None else command.principal.handle
    return artist_name(name)


def _refuse_duplicate(command: CommandRequest, audio_cid: str, but: int | None = None) -> None:
    with command.services.database.read() as connection:
        require_no_duplicate(connection, command.principal.did, audio_cid, but=but)
