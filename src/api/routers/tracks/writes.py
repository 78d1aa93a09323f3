"""Commands on tracks: upload, edit, replace the audio, delete, undelete."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from api.openapi import AUDIO_FILE, IMAGE_FILE, fields_of, multipart
from api.pipeline.command_request import Command, CommandRequest, Respond
from api.pipeline.past import past_fields
from api.requests.body import NONE, Body, fields_as, given_in
from api.requests.fields import EditFields, RevertFields, UploadFields, features_of
from api.requests.parameters import StrictRoute, TrackId
from api.responses.track import DeletedBody, TrackBody, changed_track, created_track, deleted_track
from application.authorization import require_no_duplicate
from application.subjects import delete_owned
from application.tracks.commands import (
    ChangeTrack,
    EditTrack,
    RegisterTrack,
    Undelete,
    artist_name,
    change_track,
    published_by,
    register_track,
)
from application.tracks.revert import FIELDS, KEPT_BECAUSE, Revert
from storage.artwork import MAX_BYTES as IMAGE_BYTES
from storage.artwork import PreparedArtwork
from storage.taken_down import require_not_taken_down

router = APIRouter(tags=["tracks"], route_class=StrictRoute)


@router.post(
    "/tracks",
    status_code=201,
    response_model=TrackBody,
    openapi_extra=multipart({"file": AUDIO_FILE}, UploadFields, image=IMAGE_FILE),
)
async def upload_track(request: Command) -> Response:
    """Upload a track. Its record on the PDS follows; see `mirror` for its state."""
    return await answer_upload(request, upload_command, created_track)


async def answer_upload(
    request: CommandRequest,
    parse: Callable[[CommandRequest, Body], Awaitable[RegisterTrack]],
    show: Respond,
) -> Response:
    """Register the track that `parse` reads from the body, and answer with what `show` reads."""
    services = request.services
    files = {"file": services.max_upload_bytes, "image": IMAGE_BYTES}
    async with request.begin(files=files, is_upload=True) as attempt:
        if not attempt.is_repetition:
            command = await parse(request, attempt.body)
            if command.support_gate is None:
                await attempt.publish(command.audio)
            await attempt.commit(
                lambda unit: register_track(unit, command, attempt.reserved), show, command.named
            )
    return await attempt.response()


@router.patch(
    "/tracks/{track_id}",
    response_model=TrackBody,
    openapi_extra=fields_of(EditFields, image=IMAGE_FILE),
)
async def edit(track_id: TrackId, request: Command) -> Response:
    """Change the given fields. An empty one is cleared, an absent one is left unchanged."""
    return await answer_change(track_id, request, edit_command, changed_track, files={"image": IMAGE_BYTES})


async def answer_change(
    track_id: int,
    request: CommandRequest,
    parse: Callable[[CommandRequest, int, Body], Awaitable[ChangeTrack]],
    show: Respond,
    **how: Any,
) -> Response:
    """Make the change that `parse` reads from the body, and answer with what `show` reads; `how` the request begins."""
    async with request.begin(on=request.on(Track, track_id), **how) as attempt:
        if not attempt.is_repetition:
            command = await parse(request, track_id, attempt.body)
            if command.may_publish:
                await attempt.publish_if(partial(published_by, command=command))
            use_case = partial(change_track, command=command, reserved=attempt.reserved)
            await attempt.commit(use_case, show, command.named)
    return await attempt.response()


@router.put(
    "/tracks/{track_id}/audio", response_model=TrackBody, openapi_extra=multipart({"file": AUDIO_FILE})
)
async def replace(track_id: TrackId, request: Command) -> Response:
    """Replace the audio; everything else stays."""
    return await answer_replacement(track_id, request, changed_track)


async def answer_replacement(track_id: int, request: CommandRequest, show: Respond) -> Response:
    async def parse(request: CommandRequest, track_id: int, body: Body) -> EditTrack:
        staged = body.file("file")
        audio = await request.intake.read_audio(request.principal.did, staged)
        await run_in_threadpool(_refuse_audio, request, audio.cid, track_id)
        await request.intake.keep_audio(staged, audio)
        return EditTrack(Track, track_id, request.versions, changes={"audio": audio})

    files = {"file": request.services.max_upload_bytes}
    return await answer_change(track_id, request, parse, show, files=files, is_upload=True)


@router.delete("/tracks/{track_id}", response_model=DeletedBody)
async def delete(track_id: TrackId, request: Command) -> Response:
    """Delete the track and its record. It can be undeleted while its bytes are kept."""
    on = request.on(Track, track_id)
    return await request.answer(partial(delete_owned, on=on), deleted_track, on=on)


@router.post("/tracks/{track_id}/undelete", response_model=TrackBody)
async def undelete(track_id: TrackId, request: Command) -> Response:
    """Undelete a track, with the same record key. A live one is left unchanged."""

    async def parse(request: CommandRequest, track_id: int, _body: Body) -> Undelete:
        return Undelete(Track, track_id, request.versions)

    return await answer_change(track_id, request, parse, changed_track, allow_deleted=True)


async def upload_command(request: CommandRequest, body: Body) -> RegisterTrack:
    """Check every field before any file, and every file before bytes are stored."""
    services, intake = request.services, request.intake
    staged = body.file("file")
    fields = dict(fields_as(UploadFields, body))
    did = request.principal.did
    fields["features"] = await features_of(fields["features"], services.featured_artists, did)
    refuse_image_as_text(body)
    audio = await intake.read_audio(did, staged)
    image = await artwork_of(request, body)
    await run_in_threadpool(
        _refuse_audio, request, audio.cid
    )  # before bytes are stored; the unit refuses it too
    account = await run_in_threadpool(services.accounts.get, did)
    artist = artist_name(account.name if account is not None else request.principal.handle)
    artwork = await intake.keep_artwork(image) if image is not None else None
    await intake.keep_audio(staged, audio)
    collection = services.kinds[Track.TOPIC].collection
    return RegisterTrack(artist=artist, audio=audio, artwork=artwork, collection=collection, **fields)


async def edit_command(request: CommandRequest, track_id: int, body: Body) -> EditTrack:
    changes = given_in(EditFields, body)
    if "features" in changes:
        artists, did = request.services.featured_artists, request.principal.did
        changes["features"] = await features_of(changes["features"], artists, did)
    await take_cover(request, body, changes)
    return EditTrack(Track, track_id, request.versions, changes=changes)


async def take_cover(request: CommandRequest, body: Body, changes: dict[str, Any]) -> None:
    """Put into the changes what the body says of the cover, which is stored: a file, or that it goes."""
    refuse_image_as_text(body)
    if changes.pop("remove_image", False) or "image" in body.fields:
        changes["artwork"] = None
    elif (image := await artwork_of(request, body)) is not None:
        changes["artwork"] = await request.intake.keep_artwork(image)


async def artwork_of(request: CommandRequest, body: Body) -> PreparedArtwork | None:
    image = body.files.get("image")
    return await request.intake.read_artwork(request.principal.did, image) if image is not None else None


def refuse_image_as_text(body: Body) -> None:
    if body.fields.get("image") not in NONE:
        raise InvalidFieldError("image", "must be sent as a file of a multipart body")


def _refuse_audio(request: CommandRequest, audio_cid: str, but: int | None = None) -> None:
    with request.services.database.read() as connection:
        require_not_taken_down(connection, [audio_cid])
        require_no_duplicate(connection, request.principal.did, audio_cid, but=but)


@router.post(
    "/tracks/{track_id}/revert",
    response_model=TrackBody,
    openapi_extra=fields_of(RevertFields.of(Track.TOPIC, FIELDS)),
)
async def revert(track_id: TrackId, request: Command) -> Response:
    """Revert the track, or some of its fields, to a version. This is a change like any other."""

    async def parse(request: CommandRequest, track_id: int, body: Body) -> Revert:
        on = request.on(Track, track_id)
        past, fields = await past_fields(request, on, body, FIELDS, KEPT_BECAUSE)
        return Revert(Track, track_id, request.versions, past=past, fields=fields)

    return await answer_change(track_id, request, parse, changed_track)
