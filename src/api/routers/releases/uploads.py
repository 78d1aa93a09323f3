"""Uploads to releases that go on where they broke, as draft-ietf-httpbis-resumable-upload describes it, with a creation that brings no bytes."""

import secrets
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from aggregates.published import Subject
from aggregates.releases.release import Release
from aggregates.values import TITLE_BYTES, ReleaseFile, checked_title
from api.auth.authentication import ServicesDep, SignedIn
from api.errors import UnparsableError, UnsupportedBodyError
from api.openapi import AUDIO_FILE, FILE, multipart
from api.pipeline.command_request import Command, CommandAttempt, CommandRequest
from api.requests.body import PART, PARTIAL_UPLOAD
from api.requests.parameters import ReleaseId, StrictRoute, UploadId
from api.requests.releases import file_name, is_complete, name_in, number_in
from api.responses.reader import SubjectReader
from api.responses.release import (
    FileBody,
    begun_upload,
    ended_release,
    limit_header,
    offset_headers,
    read_release,
    saved_file,
    upload_of,
)
from api.services import Services
from application.errors import DuplicateAudioError, LimitReachedError, UploadRefusedError
from application.releases.uploads import add_file, add_whole, begin, remove_upload
from application.subjects import On
from eventstore.idempotency import CommandResult
from storage.errors import (
    InvalidMediaError,
    MediaGoneError,
    RefusedMediaError,
    TakenDownError,
    TooLargeError,
)
from storage.uploads.staged_uploads import MAX_PARTS, Upload, refuse_upload, require_offset
from storage.uploads.upload import Staged

router = APIRouter(prefix="/releases/{release_id}/uploads", tags=["releases"], route_class=StrictRoute)
FORM_FILE: Final = "file"
REASONS: Final[dict[type[Exception], str]] = {
    TakenDownError: "an operator of this service has taken its bytes down",
    MediaGoneError: "bytes of it are gone",
}
BYTES: Final = {"requestBody": {"content": {PARTIAL_UPLOAD: {"schema": FILE}}}}


@router.post("", status_code=201, response_model=FileBody, openapi_extra=multipart({FORM_FILE: AUDIO_FILE}))
async def create(release_id: ReleaseId, request: Command) -> Response:
    """Begin an upload, without bytes (`Upload-Complete: ?0`).

    `Content-Disposition` names the file, `Upload-Length` its size. `Location` is where its bytes go, with PATCH. It ends after 24 hours. A form with a whole `file` needs no more requests.
    """
    on, upload_id = request.on(Release, release_id), secrets.token_urlsafe(16)
    files = {FORM_FILE: request.services.max_upload_bytes}
    async with request.begin(on=on, files=files) as attempt:
        if not attempt.is_repetition:
            if FORM_FILE in attempt.body.files:
                name = file_name(attempt.body.names[FORM_FILE])
                file = await _file_of(request, upload_id, name, attempt.body.file(FORM_FILE))
                use_case = partial(add_whole, on=on, file=file, reserved=attempt.reserved)
                show = partial(saved_file, upload_id=upload_id, status=201)
            else:
                name, length = name_in(request.request), _length(request)
                use_case = partial(begin, on=on, upload_id=upload_id, name=name, length=length)
                show = partial(begun_upload, upload_id=upload_id)
            await attempt.commit(use_case, show)
    return await attempt.response()


def _length(request: CommandRequest) -> int | None:
    if is_complete(request.request):
        raise UnparsableError("Begin an upload with Upload-Complete: ?0, and send its bytes with PATCH.")
    length = number_in(request.request, "Upload-Length")
    if length is not None and length > request.services.max_upload_bytes:
        raise TooLargeError(request.services.max_upload_bytes)
    return length


@router.options("", status_code=204, response_class=Response, include_in_schema=False)
@router.options("/{upload_id}", status_code=204, response_class=Response, include_in_schema=False)
def limits(services: ServicesDep) -> Response:
    """Say that uploads go on here, and how large they may be."""
    return Response(status_code=204, headers=limit_header(services.max_upload_bytes))


@router.head("/{upload_id}", status_code=204, response_class=Response)
def offset(
    principal: SignedIn, services: ServicesDep, release_id: ReleaseId, upload_id: UploadId
) -> Response:
    """Say in `Upload-Offset` where an upload goes on."""
    found = _upload_or_file(services, principal.did, release_id, upload_id)
    if isinstance(found, CommandResult):
        headers = found.headers
    else:
        headers = offset_headers(found.received, is_complete=found.reason is not None)
        headers |= {} if found.length is None else {"Upload-Length": str(found.length)}
    return Response(status_code=204, headers=headers | limit_header(services.max_upload_bytes))


def _upload_or_file(services: Services, did: str, release_id: int, upload_id: str) -> Upload | CommandResult:
    """Return the upload, or where it is a file by now, what its last request was answered."""
    with services.database.read() as connection:
        reader = SubjectReader(services, did, lambda: connection)
        if read_release(reader, release_id).has_file(upload_id):
            return saved_file(reader, Subject(Release.TOPIC, release_id), upload_id)
        return upload_of(reader, release_id, upload_id)


@router.patch("/{upload_id}", response_model=FileBody, openapi_extra=BYTES, responses={204: {}})
async def append(release_id: ReleaseId, upload_id: UploadId, request: Command) -> Response:
    """Append bytes at `Upload-Offset`; with `Upload-Complete: ?1` the upload becomes a file of the release.

    A request that is cut off leaves nothing: send as much at once as you are ready to send again. The last one may be repeated.
    """
    on, files = request.on(Release, release_id), {PART: request.services.max_upload_bytes}
    async with request.begin(on=on, files=files, is_upload=True) as attempt:
        if not attempt.is_repetition:
            if PART not in attempt.body.files:
                raise UnsupportedBodyError
            await _append(request, attempt, on, upload_id)
    return await attempt.response()


@router.delete("/{upload_id}", status_code=204, response_class=Response)
async def remove(release_id: ReleaseId, upload_id: UploadId, request: Command) -> Response:
    """Remove an upload, or the file that it became."""
    on = request.on(Release, release_id)
    return await request.answer(partial(remove_upload, on=on, upload_id=upload_id), ended_release, on=on)


async def _append(request: CommandRequest, attempt: CommandAttempt, on: On[Release], upload_id: str) -> None:
    is_last, at = is_complete(request.request), number_in(request.request, "Upload-Offset")
    if at is None:
        raise UnparsableError("The header Upload-Offset is missing. Nothing was changed.")
    staged, most = attempt.body.file(PART), request.services.max_upload_bytes
    found = await run_in_threadpool(
        _upload_or_file, request.services, request.principal.did, on.id, upload_id
    )
    if isinstance(found, CommandResult):
        await attempt.finish(found)
        return
    if found.reason is not None:
        raise UploadRefusedError(found.reason)
    require_offset(found, at)  # before its bytes are stored; the append looks again
    if at + staged.size > most:
        raise TooLargeError(most)
    if staged.size and len(found.parts) >= MAX_PARTS:
        raise LimitReachedError(MAX_PARTS, "appends to an upload")
    try:
        upload = await request.intake.keep_part(found, at, staged)
        if is_last:
            await _complete(request, attempt, on, upload)
            return
    except (RefusedMediaError, DuplicateAudioError, UploadRefusedError, MediaGoneError) as error:
        refused = UploadRefusedError(
            REASONS.get(type(error)) or getattr(error, "reason", str(error)).rstrip(".")
        )

        def record() -> None:
            database = request.services.database
            with database.write() as connection:
                refuse_upload(connection, found, refused.reason, now=database.now(connection))

        await run_in_threadpool(record)
        raise refused from None
    await attempt.finish(CommandResult(204, {}, offset_headers(upload.received, is_complete=False)))


async def _complete(
    request: CommandRequest, attempt: CommandAttempt, on: On[Release], upload: Upload
) -> None:
    with await request.intake.whole(upload, request.services.staging) as whole:
        if upload.length not in {None, whole.size}:
            raise InvalidMediaError(f"it has {whole.size} bytes, not {upload.length} as announced")
        file = await _file_of(request, upload.upload_id, upload.name, whole)
    use_case = partial(add_file, on=on, file=file, reserved=attempt.reserved)
    await attempt.commit(use_case, partial(saved_file, upload_id=upload.upload_id), file.cids)


async def _file_of(request: CommandRequest, upload_id: str, name: str, whole: Staged) -> ReleaseFile:
    """Keep the audio, and the cover that its tags have if that is an image."""
    intake, did = request.intake, request.principal.did
    audio = await intake.read_audio(did, whole)
    said, cover = await intake.read_tags(did, whole, audio)
    artwork = await intake.keep_artwork(cover) if cover is not None else None
    await intake.keep_audio(whole, audio)
    stem = PurePosixPath(name).stem.encode()[:TITLE_BYTES].decode(errors="ignore")
    said["title"] = said.get("title") or checked_title(stem)
    return ReleaseFile(upload_id, name, audio, artwork=artwork, **said)
