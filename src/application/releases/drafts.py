"""Commands on a release that is being made: begin, change, share, delete; and the end of drafts that were left."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from aggregates.releases.release import DRAFTS, Release
from aggregates.values import cids_in, hash_of
from application.errors import LimitReachedError, ReleaseNotFoundError
from application.releases.uploads import forget_uploads
from application.subjects import On, change_owned, find, load_owned
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import BY_ITSELF
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from projections.releases import left_since, live_releases, previewed
from storage.media import Reserved
from storage.uploads.staged_uploads import it, uploads_of

MAX_RELEASES: Final = 50
DRAFT_TTL: Final = timedelta(days=30)
"""From its last change a draft is kept for so long."""
DRAFTS_AT_ONCE: Final = 100


def create_release(unit: UnitOfWork, changes: Mapping[str, Any], reserved: Reserved) -> Release:
    """Begin a release with these fields, checked values; raises LimitReachedError."""
    reserved.require(cids_in(changes.get("artwork")), unit.now)
    did = unit.account
    if len(live_releases(unit.connection, did, at_most=MAX_RELEASES, unpublished=True)) >= MAX_RELEASES:
        raise LimitReachedError(MAX_RELEASES, "releases of an account that are not published")
    release_id = next_subject_id(unit.connection, did)
    release = Release.create(did=did, release_id=release_id, changes=changes, at=unit.now)
    unit.save(release)
    return release


def edit_release(
    unit: UnitOfWork, changes: Mapping[str, Any], reserved: Reserved, *, on: On[Release]
) -> Release:
    """Set these fields, checked values; a new cover is stored already."""
    reserved.require(cids_in(changes.get("artwork")), unit.now)
    return change_owned(unit, on, lambda release: release.edit(changes, at=unit.now))


def set_preview(unit: UnitOfWork, on: On[Release], token: str | None) -> Release:
    """Let a secret link have this token, in place of any earlier one; without a token it is withdrawn. Only the hash is stored."""
    preview_hash = hash_of(token) if token is not None else None
    return change_owned(unit, on, lambda release: release.set_preview(preview_hash, at=unit.now))


def find_preview(log: EventLog, connection: sa.Connection, token: str) -> Release:
    """Return the live release with this link; raises ReleaseNotFoundError."""
    row = previewed(connection, hash_of(token))
    release = find(log, connection, On(Release, row.release_id)) if row is not None else None
    if release is None or release.deleted_at is not None:
        raise ReleaseNotFoundError
    return release


def delete_release(unit: UnitOfWork, on: On[Release]) -> Release:
    """End the release and its uploads: nothing brings it back."""
    return _end(unit, load_owned(unit, on))


def _end(unit: UnitOfWork, release: Release) -> Release:
    release.delete(at=unit.now)
    unit.save(release)
    forget_uploads(unit, release.did, it.release_id == release.release_id)
    return release


def expire_drafts(log: EventLog) -> int:
    """End drafts without a change for DRAFT_TTL, and without an upload under way; returns how many."""
    with log.database.read() as connection:
        before = log.database.now(connection) - DRAFT_TTL
        left = left_since(connection, before, at_most=DRAFTS_AT_ONCE)

    def expire(unit: UnitOfWork, release_id: int) -> bool:
        release = unit.load(Release, Release.create_id(release_id))
        is_left = release.deleted_at is None and release.state in DRAFTS and release.changed_at <= before
        uploads = uploads_of(unit.connection, release.did, release_id, now=unit.now)
        is_left &= all(each.reason is not None for each in uploads)
        if is_left:
            _end(unit, release)
        return is_left

    return sum(log.transact(row.did, BY_ITSELF, partial(expire, release_id=row.release_id)) for row in left)
