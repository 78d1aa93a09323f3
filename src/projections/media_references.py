"""`media_references`: the bytes (CIDs) that each track, list, profile or release names, and since when it no longer does; the sweep reads it.

The bytes of a deleted account are released without a grace period.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.accounts.account import Account
from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.published import Owned
from aggregates.releases.release import Release
from aggregates.tracks.track import Track, media_cids
from eventstore.change import Change, changes_of
from eventstore.jobs.table import PAST
from eventstore.projection import Into, ProjectedTable, fingerprint, write_rows
from eventstore.sql.database import pages
from eventstore.sql.schema import Position, UtcDateTime, metadata
from eventstore.streams.buckets import account_columns

VERSION: Final = 2

media_references = sa.Table(
    "media_references",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),  # or that of another kind
    sa.Column("cid", sa.Text, primary_key=True),
    *account_columns(),
    sa.Column("released_at", UtcDateTime),
    sa.Index("ix_media_references_cid", "cid"),
)


class MediaReferences:
    """Which bytes each subject names, or once did."""

    name = "media_references"
    tables = (ProjectedTable(media_references),)
    fingerprint = fingerprint(VERSION, media_references)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        table, some = into(media_references), list[Change]()
        for change in changes:
            if not isinstance(change.event, Account.Left):
                some.append(change)
                continue
            self._write(connection, some, into)
            released = (table.c.did == change.did, table.c.released_at.is_not(None))
            connection.execute(sa.update(table).where(*released).values(released_at=PAST))
            some = []
        self._write(connection, some, into)

    def _write(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        latest: dict[tuple[int, str], dict[str, Any]] = {}
        for change, before, subject in changes_of(Owned, changes):
            named = _live_cids(subject)
            for cid in _live_cids(before) ^ named:
                latest[subject.subject_id, cid] = {
                    "track_id": subject.subject_id,
                    "cid": cid,
                    "did": change.did,
                    "released_at": None if cid in named else change.recorded_at,
                }
        write_rows(connection, into(media_references), list(latest.values()))


def cids_of(connection: sa.Connection, did: str) -> Sequence[str]:
    """Return the CIDs that tracks of this account name, or once did."""
    cid = media_references.c.cid
    of_account = sa.select(cid).where(media_references.c.did == did)
    return connection.scalars(of_account.distinct().order_by(cid)).all()


def named(connection: sa.Connection, cids: Collection[str], released_after: datetime) -> set[str]:
    """Return those of the CIDs that a live track names, or that were released after a time."""
    found = set[str]()
    kept = sa.or_(media_references.c.released_at.is_(None), media_references.c.released_at > released_after)
    for page in pages(cids):
        these = media_references.c.cid.in_(page)
        found.update(connection.scalars(sa.select(media_references.c.cid).where(these, kept)))
    return found


def was_named_by(connection: sa.Connection, did: str, cid: str) -> bool:
    """Whether a track of this account names the bytes, or once did."""
    column = media_references.c
    return bool(connection.scalar(sa.select(sa.exists().where(column.did == did, column.cid == cid))))


def _live_cids(subject: Owned | None) -> frozenset[str]:
    if subject is None or subject.deleted_at is not None:
        return frozenset()
    if isinstance(subject, Release):
        return subject.cids
    if isinstance(subject, TrackList | Profile):
        image = subject.avatar if isinstance(subject, Profile) else subject.artwork
        return frozenset(image.cids if image is not None else ())
    return frozenset(media_cids(subject) if isinstance(subject, Track) else ())
