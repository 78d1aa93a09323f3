"""Uploads to releases that go on where they broke, in any process: their bytes are parts, stored as media, until the file is whole.

An append stores its bytes, and then enters them in a transaction in which the offset is still theirs: of two at once the other
finds it moved. An offset never goes down. An upload ends after a day, and keeps its row until its owner removes it. Until then the sweep leaves its parts, also where an
equal one of another upload has ended.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.schema import Json, Position, UtcDateTime, metadata
from eventstore.streams.buckets import account_columns
from storage.errors import OffsetMismatchError, UploadNotFoundError
from storage.media import Media, end_grace_period
from storage.uploads.upload import Staged

UPLOAD_TTL: Final = timedelta(hours=24)
ENDED: Final = "it was not finished within 24 hours"
MAX_PARTS: Final = 1000
PART_MIME: Final = "application/octet-stream"

release_upload: Final = sa.Table(
    "release_upload",
    metadata,
    sa.Column("upload_id", sa.Text, primary_key=True),
    *account_columns(),
    sa.Column("release_id", Position, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("length", sa.BigInteger),  # as the client has announced it
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("parts", Json, nullable=False),  # their CIDs
    sa.Column("reason", sa.Text),  # why it can be no track; it is whole then
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Index("ix_release_upload_did_release_id", "did", "release_id"),
)
it: Final = release_upload.c
_BUT_REASON: Final = tuple(each for each in it if each is not it.reason)

Upload = sa.Row[Any]
"""A row of `release_upload`; once it is a file of its release, there is none."""


def begin_upload(
    connection: sa.Connection,
    did: str,
    release_id: int,
    upload_id: str,
    *,
    name: str,
    length: int | None,
    now: datetime,
) -> None:
    """Enter an upload; its id cannot be guessed."""
    values = {"upload_id": upload_id, "did": did, "release_id": release_id, "name": name, "length": length}
    connection.execute(sa.insert(release_upload).values(**values, received=0, parts=[], begun_at=now))


def find_upload(
    connection: sa.Connection,
    did: str,
    release_id: int,
    upload_id: str,
    *,
    now: datetime,
    locks: bool = False,
) -> Upload:
    """Return an upload of the account to this release; raises UploadNotFoundError."""
    these = (it.did == did, it.upload_id == upload_id, it.release_id == release_id, ~has_ended(now))
    this = sa.select(release_upload).where(*these)
    row = connection.execute(this.with_for_update() if locks else this).one_or_none()
    if row is None:
        raise UploadNotFoundError
    return row


def uploads_of(
    connection: sa.Connection, did: str, release_id: int | None = None, *, now: datetime
) -> Sequence[Any]:
    """Return the uploads of the account, to one release if it is named, that are no files yet; one that has ended says so for a reason."""
    reason = sa.case((has_ended(now), ENDED), else_=it.reason).label("reason")
    these = [it.did == did, *([it.release_id == release_id] if release_id is not None else [])]
    query = sa.select(*_BUT_REASON, reason).where(*these)
    return connection.execute(query.order_by(it.begun_at, it.upload_id)).all()


def named(connection: sa.Connection, cids: Collection[str], begun_after: datetime) -> set[str]:
    """Return those of the CIDs that are parts of uploads begun after a time."""
    lasting = sa.select(it.parts).where(it.reason.is_(None), it.begun_at > begun_after)
    return {cid for parts in connection.scalars(lasting) for cid in parts} & set(cids)


def append_part(media: Media, upload: Upload, offset: int, staged: Staged) -> Upload:
    """Store the bytes, and enter them at this offset; raises OffsetMismatchError and UploadNotFoundError."""
    cids = [staged.cid] if staged.size else []
    for cid in cids:
        with staged.open() as source:
            media.add(cid, source, staged.size, PART_MIME)
    with media.database.write() as connection:
        this = (connection, upload.did, upload.release_id, upload.upload_id)
        now = media.database.now(connection)
        found = find_upload(*this, now=now, locks=True)
        require_offset(found, offset)
        moved = {"received": offset + staged.size, "parts": [*found.parts, *cids]}
        connection.execute(sa.update(release_upload).where(*_is(upload)).values(moved))
        return find_upload(*this, now=now)


def require_offset(upload: Upload, offset: int) -> None:
    if upload.received != offset:
        raise OffsetMismatchError(upload.received)


def received_bytes(media: Media, upload: Upload) -> Iterator[bytes]:
    for cid in upload.parts:
        yield from media.read(cid)


def refuse_upload(connection: sa.Connection, upload: Upload, reason: str, *, now: datetime) -> None:
    """Say why an upload that is whole can be no track."""
    refused = sa.update(release_upload).where(*_is(upload)).values(reason=reason, parts=[])
    connection.execute(refused)
    end_grace_period(connection, upload.parts, now)


def delete_uploads(connection: sa.Connection, did: str, *these: sa.ColumnElement[bool]) -> list[str]:
    """Delete uploads of the account; returns their parts."""
    parts = connection.scalars(sa.select(it.parts).where(it.did == did, *these)).all()
    connection.execute(sa.delete(release_upload).where(it.did == did, *these))
    return [cid for each in parts for cid in each]


def has_ended(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(it.reason.is_(None), it.begun_at <= now - UPLOAD_TTL)


def _is(upload: Upload) -> tuple[sa.ColumnElement[bool], ...]:
    return it.did == upload.did, it.upload_id == upload.upload_id
