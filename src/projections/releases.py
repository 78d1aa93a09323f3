"""`releases`: the releases of each account. What each is made of, its stream says; a deleted one keeps its row."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.releases.release import DRAFTS, Release
from aggregates.values import ReleaseState
from eventstore.change import Change, changes_of
from eventstore.jobs.table import job
from eventstore.projection import Into, ProjectedTable, fingerprint, write_rows
from eventstore.sql.schema import Position, UtcDateTime, metadata, partial_index
from eventstore.streams.buckets import Part, account_columns, in_part

VERSION: Final = 1
MAX_REQUESTED: Final = 100

releases: Final = sa.Table(
    "releases",
    metadata,
    sa.Column("release_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("title", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("publish_at", UtcDateTime),
    sa.Column("preview_hash", sa.Text),
    sa.Column("file_count", sa.Integer, nullable=False),
    sa.Column("visible_version", sa.Integer, nullable=False),
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Index("ix_releases_did_release_id", "did", "release_id"),
)
it: Final = releases.c
LIVE: Final = it.deleted_at.is_(None)
partial_index("ix_releases_changed_at", it.changed_at, where=LIVE)
partial_index("ix_releases_publish_at", it.publish_at, where=it.state == ReleaseState.SCHEDULED.value)
partial_index("ix_releases_preview_hash", it.preview_hash, where=it.preview_hash.is_not(None))
_PLAIN: Final = tuple(each.name for each in releases.columns if each.name not in {"bucket", "file_count"})


class Releases:
    """The newest state of each release."""

    name: Final = "releases"
    fingerprint: Final = fingerprint(VERSION, releases)
    tables: Final = (ProjectedTable(releases),)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        latest = {made.release_id: made for _, _, made in changes_of(Release, changes)}
        write_rows(connection, into(releases), [_row(made) for made in latest.values()])


def _row(made: Release) -> dict[str, Any]:
    return {**{name: getattr(made, name) for name in _PLAIN}, "file_count": len(made.files)}


def live_releases(
    connection: sa.Connection, did: str, *, at_most: int, unpublished: bool = False
) -> Sequence[int]:
    these = [it.did == did, LIVE, *([it.state != ReleaseState.PUBLISHED.value] if unpublished else [])]
    return connection.scalars(sa.select(it.release_id).where(*these).limit(at_most)).all()


def page_of_releases(
    connection: sa.Connection, did: str, *, before: int | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Return rows of the live releases of an account, newest first."""
    query = sa.select(releases).where(it.did == did, LIVE).order_by(it.release_id.desc()).limit(limit)
    return connection.execute(query if before is None else query.where(it.release_id < before)).all()


def previewed(connection: sa.Connection, preview_hash: str) -> sa.Row[str, int] | None:
    """Return the account and the id of the live release with this link."""
    these = (it.preview_hash == preview_hash, LIVE)
    return connection.execute(sa.select(it.did, it.release_id).where(*these)).one_or_none()


def due_releases(part: Part, kind: str) -> Any:
    """Select live releases of the part whose time has come, without a job of this kind."""
    subject = sa.cast(it.release_id, sa.Text)
    this = (job.c.account == it.did, job.c.bucket == it.bucket, job.c.subject == subject)
    known = sa.exists().where(job.c.kind == kind, *this)
    is_due = it.publish_at <= sa.bindparam("now", type_=UtcDateTime)
    these = (in_part(it.bucket, part), it.state == ReleaseState.SCHEDULED.value, is_due, LIVE, ~known)
    found = sa.select(subject.label("subject"), it.did.label("account"), sa.literal("").label("host"))
    return found.where(*these).order_by(it.publish_at).limit(MAX_REQUESTED)


def left_since(connection: sa.Connection, before: datetime, *, at_most: int) -> Sequence[sa.Row[str, int]]:
    """Return the account and the id of drafts without a change since then."""
    these = (LIVE, it.changed_at <= before, it.state.in_(sorted(DRAFTS)))
    left = sa.select(it.did, it.release_id).where(*these).order_by(it.changed_at).limit(at_most)
    return connection.execute(left).all()
