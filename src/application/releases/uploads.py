"""Uploads to a release: begin one, make a file of it once it is whole, or remove it."""

from functools import partial
from typing import Final

import sqlalchemy as sa

from aggregates.releases.release import Release
from aggregates.values import ReleaseFile
from application.authorization import require_no_duplicate
from application.errors import LimitReachedError, UploadRefusedError
from application.lists.commands import list_name_in
from application.subjects import On, load_owned
from eventstore.unit_of_work import UnitOfWork
from storage.errors import UploadNotFoundError
from storage.media import Reserved, end_grace_now
from storage.uploads.staged_uploads import (
    begin_upload,
    delete_uploads,
    find_upload,
    has_ended,
    it,
    uploads_of,
)

MAX_FILES: Final = 100
MAX_OPEN_UPLOADS: Final = 3
"""Of one account: so what it has staged is bounded by the size of a file."""


def begin(
    unit: UnitOfWork, on: On[Release], upload_id: str, *, name: str, length: int | None = None
) -> Release:
    """Enter an upload, in place of one of this file that has ended; raises LimitReachedError."""
    release = load_owned(unit, on)
    release.require_draft()
    did, release_id = release.did, release.release_id
    is_this = (it.name == name, sa.or_(it.length.is_(None), it.length == length))
    forget_uploads(unit, did, has_ended(unit.now), it.release_id == release_id, *is_this)
    others = uploads_of(unit.connection, did, now=unit.now)
    if len(release.files) + sum(each.release_id == release_id for each in others) >= MAX_FILES:
        raise LimitReachedError(MAX_FILES, "files of a release")
    if sum(each.reason is None for each in others) >= MAX_OPEN_UPLOADS:
        raise LimitReachedError(MAX_OPEN_UPLOADS, "uploads of an account at a time")
    begin_upload(unit.connection, did, release_id, upload_id, name=name, length=length, now=unit.now)
    return release


def add_whole(unit: UnitOfWork, on: On[Release], file: ReleaseFile, reserved: Reserved) -> Release:
    begin(unit, on, file.upload_id, name=file.name, length=file.audio.size)
    return add_file(unit, on, file, reserved)


def add_file(unit: UnitOfWork, on: On[Release], file: ReleaseFile, reserved: Reserved) -> Release:
    """Make a file of an upload that is whole; a second time is no change.

    The album has the title that the tags of the first file say, unless it has one or no album may have that.
    """
    release = load_owned(unit, on)
    if not release.has_file(file.upload_id):
        find_upload(unit.connection, release.did, release.release_id, file.upload_id, now=unit.now)
        reserved.require(file.cids, unit.now)
        require_no_duplicate(unit.connection, release.did, file.audio.cid)
        for each in release.files:
            if each.audio.cid == file.audio.cid:
                raise UploadRefusedError(f"{each.name} of this release has exactly this audio")
        if not release.files and release.title is None and (title := list_name_in(file.album)) is not None:
            release.edit({"title": title}, at=unit.now)
        release.add_file(file, at=unit.now)
        unit.save(release)
        forget_uploads(unit, release.did, it.upload_id == file.upload_id)
    return release


def remove_upload(unit: UnitOfWork, on: On[Release], upload_id: str) -> Release:
    """Remove an upload, or the file that it became; raises UploadNotFoundError."""
    release = load_owned(unit, on)
    if release.has_file(upload_id):
        release.remove_file(upload_id, at=unit.now)
        unit.save(release)
        return release
    uploads = uploads_of(unit.connection, release.did, release.release_id, now=unit.now)
    if all(each.upload_id != upload_id for each in uploads):
        raise UploadNotFoundError
    forget_uploads(unit, release.did, it.upload_id == upload_id)
    return release


def forget_uploads(unit: UnitOfWork, did: str, *these: sa.ColumnElement[bool]) -> None:
    """Delete uploads of the account; the next sweep may have their parts, which are rows of no account."""
    if parts := delete_uploads(unit.connection, did, *these):
        unit.after_commit(partial(end_grace_now, unit.log.database, parts))
