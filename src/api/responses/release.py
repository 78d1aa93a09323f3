"""Releases as JSON, for their owner: what the log says of them, and the uploads that are no files yet."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field

from aggregates.published import Subject
from aggregates.releases.release import DRAFTS, Release
from aggregates.values import ReleaseFile, ReleaseState
from api.json_response import Versioned, body_from, result_of
from api.responses.reader import SubjectReader
from api.responses.track import SupportGateBody
from application.releases.drafts import DRAFT_TTL
from application.releases.publishing import state_at
from application.subjects import On, require_owned
from eventstore.idempotency import CommandResult
from projections.lists import album_titled
from projections.tracks.queries import live_tracks_with_audio
from storage.uploads.staged_uploads import UPLOAD_TTL, Upload, find_upload, uploads_of


class FileBody(BaseModel):
    """A file of a release, or an upload that is to be one."""

    upload_id: str
    name: str
    state: str = Field(description="open, complete or refused")
    reason: str | None = Field(None, description="why it is refused, or cannot be published as it is")
    offset: int = Field(description="how many bytes are here")
    length: int | None = Field(description="how many bytes it has, where the client has said so")
    title: str | None = None
    artist: str | None = Field(None, description="what its tags say; the tracks have the account's artist")
    album: str | None = Field(None, description="what its tags say")
    disc: int | None = Field(None, description="what its tags say")
    number: int | None = Field(None, description="what its tags say")
    year: int | None = Field(None, description="what its tags say")
    description: str | None = None
    tags: list[str] | None = Field(None, description="null has those of the release")
    duration: int | None = None
    file_type: str | None = None
    has_image: bool = Field(False, description="whether its tags have a cover")


class PreviewBody(BaseModel):
    """What a secret link to a release shows."""

    title: str | None
    artist: str
    description: str | None
    has_cover: bool
    is_out: bool
    files: list[FileBody]


class ReleaseRow(Versioned):
    """A release of a list of releases."""

    title: str | None
    state: str = Field(description="draft, scheduled, publishing, published or failed")
    publish_at: datetime | None
    file_count: int = Field(description="of files that are whole")
    has_preview: bool = Field(description="whether it has a secret link")
    changed_at: datetime
    expires_at: datetime | None = Field(description="when a draft ends without another change")


class MusicReleaseBody(ReleaseRow):
    """A release with its files in their order, and then its other uploads. `version` is also its ETag."""

    description: str | None
    release_date: str | None
    tags: list[str]
    unlisted: bool
    downloads: str
    support_gate: SupportGateBody | None
    copy_audio: bool
    has_image: bool
    reasons: list[str] = Field(description="why it could not be published")
    title_taken_by: int | None = Field(
        description="your album with its title, which keeps it from being published"
    )
    track_ids: list[int] = Field(description="the tracks that it became")
    album_id: int | None = Field(description="the album that it became")
    files: list[FileBody]
    preview_url: str | None = Field(None, description="the secret link, for the request that made it alone")


def release_row(row: Any, now: datetime) -> ReleaseRow:
    return body_from(ReleaseRow, row, **_shown(row, now))


def _shown(release: Any, now: datetime) -> dict[str, Any]:
    return {
        "id": release.release_id,
        "version": release.visible_version,
        "state": state_at(release, now),
        "has_preview": release.preview_hash is not None,
        "expires_at": release.changed_at + DRAFT_TTL if release.state in DRAFTS else None,
    }


def release_body(connection: sa.Connection, release: Release, now: datetime) -> MusicReleaseBody:
    uploads = uploads_of(connection, release.did, release.release_id, now=now)
    is_out, cids = release.state == ReleaseState.PUBLISHED, {file.audio.cid for file in release.files}
    doubles = {} if is_out else live_tracks_with_audio(connection, release.did, cids)
    taken_by = None if is_out else album_titled(connection, release.did, release.title or "")
    return body_from(
        MusicReleaseBody,
        release,
        **_shown(release, now),
        has_image=release.artwork is not None,
        file_count=len(release.files),
        preview_url=None,
        title_taken_by=taken_by,
        files=[
            *(_file_body(each, doubles.get(each.audio.cid)) for each in release.files),
            *map(upload_body, uploads),
        ],
    )


def _file_body(file: ReleaseFile, double: int | None = None) -> FileBody:
    reason = f"your track {double} has exactly this audio" if double is not None else None
    size, has_image = file.audio.size, file.artwork is not None
    of_audio = {"duration": file.audio.duration, "file_type": file.audio.file_type}
    complete = {"state": "complete", "reason": reason, "offset": size, "length": size, "has_image": has_image}
    return body_from(FileBody, file, **complete, **of_audio)


def upload_body(row: Upload) -> FileBody:
    known = {name: getattr(row, name) for name in ("upload_id", "name", "reason", "length")}
    return FileBody(**known, state="open" if row.reason is None else "refused", offset=row.received)


def preview_body(release: Release, artist: str) -> PreviewBody:
    is_out = release.state == ReleaseState.PUBLISHED
    files = [_file_body(each) for each in release.files]
    return body_from(
        PreviewBody, release, artist=artist, has_cover=release.cover is not None, is_out=is_out, files=files
    )


def read_release(reader: SubjectReader, release_id: int) -> Release:
    return require_owned(reader.services.log, reader.connection, reader.did, On(Release, release_id))


def saved_release(reader: SubjectReader, subject: Subject, *, created: bool = False) -> CommandResult:
    release, now = read_release(reader, subject.id), reader.services.database.now(reader.connection)
    body = release_body(reader.connection, release, now)
    return result_of(body, 201, Location=f"/releases/{body.id}") if created else result_of(body)


def ended_release(_reader: SubjectReader, _subject: Subject) -> CommandResult:
    return CommandResult(204, {}, {})


def saved_file(reader: SubjectReader, subject: Subject, upload_id: str, status: int = 200) -> CommandResult:
    files = read_release(reader, subject.id).files
    file = next(each for each in files if each.upload_id == upload_id)
    return CommandResult(status, _file_body(file), offset_headers(file.audio.size, is_complete=True))


def begun_upload(reader: SubjectReader, subject: Subject, upload_id: str) -> CommandResult:
    row = upload_of(reader, subject.id, upload_id)
    headers = limit_header(reader.services.max_upload_bytes)
    headers["Location"] = f"/releases/{subject.id}/uploads/{upload_id}"
    return CommandResult(201, upload_body(row), headers)


def upload_of(reader: SubjectReader, release_id: int, upload_id: str) -> Upload:
    now = reader.services.database.now(reader.connection)
    return find_upload(reader.connection, reader.did, release_id, upload_id, now=now)


def offset_headers(offset: int, *, is_complete: bool) -> dict[str, str]:
    return {"Upload-Offset": str(offset), "Upload-Complete": "?1" if is_complete else "?0"}


def limit_header(max_size: int) -> dict[str, str]:
    return {"Upload-Limit": f"max-size={max_size}, max-age={int(UPLOAD_TTL.total_seconds())}"}
