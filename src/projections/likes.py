"""`likes`: what each account likes, and what others read of that at a track: `reaction`, and `track_count`.

A like belongs to its account, the other two to the track's owner. They follow within seconds, by jobs: no unit of work writes rows of
two accounts, which may be kept in different places.
"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from aggregates.like import Like
from aggregates.published import Published, Subject
from eventstore.append import key_of, upsert
from eventstore.change import Change, changes_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.projection import Into, ProjectedTable, fingerprint, write_rows
from eventstore.schema import Position, UtcDateTime, metadata
from eventstore.streams.buckets import account_columns
from projections.tracks.table import tracks

VERSION: Final = 1
REACTION: Final = "reaction"
"""The kind of the jobs that carry a change to accounts that read of it: its subject, and the version of that."""


def carried(change: Change, subject: Published) -> Wanted:
    """Return the job that carries this change of a subject."""
    return Wanted(REACTION, f"{Subject.of(subject)}/{change.version}", change.did)


likes = sa.Table(
    "likes",
    metadata,
    sa.Column("like_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("track_id", Position),
    sa.Column("track_uri", sa.Text, nullable=False),
    sa.Column("track_cid", sa.Text),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("collection", sa.Text, nullable=False),
    sa.Column("rkey", sa.Text, nullable=False),
    sa.Index("ix_likes_did_track_id", "did", "track_id"),
    sa.Index("ix_likes_did_like_id", "did", "like_id"),
)
IS_LIVE: Final = likes.c.deleted_at.is_(None)

reaction = sa.Table(
    "reaction",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
)
track_count = sa.Table(
    "track_count",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("likes", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("comments", sa.Integer, nullable=False, server_default=sa.text("0")),
)


class Likes:
    """What each account likes."""

    name = "likes"
    tables = (ProjectedTable(likes),)
    fingerprint = fingerprint(VERSION, likes)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        """Write the likes; of the live table, have what others read follow."""
        latest: dict[int, Like] = {}
        wanted = []
        for change, before, like in changes_of(Like, changes):
            latest[like.like_id] = like
            if before is None or before.deleted_at != like.deleted_at:
                wanted.append(carried(change, like))
        rows = [
            {column.key: getattr(like, column.key) for column in likes.columns if column.key != "bucket"}
            for like in latest.values()
        ]
        write_rows(connection, into(likes), rows)
        if wanted and into(likes) is likes:
            queue.request(connection, wanted, changes[-1].recorded_at)

    def carry_all(self, connection: sa.Connection) -> None:
        recount(connection)


def like_of(connection: sa.Connection, did: str, track_id: int) -> sa.Row[Any] | None:
    """Return the account's like of the track, or the newest one that was taken back."""
    found = sa.select(likes).where(likes.c.did == did, likes.c.track_id == track_id)
    newest = found.order_by(likes.c.deleted_at.is_not(None), likes.c.like_id.desc()).limit(1)
    return connection.execute(newest).one_or_none()


def is_liked_twice(connection: sa.Connection, did: str, track_id: int) -> bool:
    live = sa.select(sa.func.count()).where(likes.c.did == did, likes.c.track_id == track_id, IS_LIVE)
    return connection.scalar(live) not in {0, 1}


def locked_like(connection: sa.Connection, did: str, like_id: int) -> Any:
    """Return the like; until the transaction ends, it stays as it is. None where there is none."""
    found = sa.select(likes).where(likes.c.did == did, likes.c.like_id == like_id)
    return connection.execute(found.with_for_update()).one_or_none()


def like_page(connection: sa.Connection, did: str, before: int | None, limit: int) -> Sequence[sa.Row[Any]]:
    """Return what the account likes, newest first."""
    query = sa.select(likes).where(likes.c.did == did, IS_LIVE).order_by(likes.c.like_id.desc()).limit(limit)
    return connection.execute(query if before is None else query.where(likes.c.like_id < before)).all()


def reaction_page(
    connection: sa.Connection, did: str, kind: str, track_id: int, *, before: int | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Return the reactions of a kind to a track of the account, newest first."""
    of = reaction.c
    query = sa.select(reaction).where(of.did == did, of.track_id == track_id, of.kind == kind)
    query = query.order_by(of.subject_id.desc()).limit(limit)
    return connection.execute(query if before is None else query.where(of.subject_id < before)).all()


def recount(connection: sa.Connection) -> None:
    """Make the reactions to all tracks, and their numbers, anew."""
    if connection.dialect.name == "postgresql":  # a job that adds one waits
        connection.execute(sa.text("lock table reaction in exclusive mode"))
    connection.execute(sa.delete(reaction))
    connection.execute(sa.delete(track_count))
    of, track = reaction.c, (tracks.c.track_id, tracks.c.did, tracks.c.bucket)
    shown = sa.select(*track, sa.literal(Like.TOPIC), likes.c.like_id, likes.c.did, likes.c.created_at)
    shown = shown.join(likes, likes.c.track_id == tracks.c.track_id).where(IS_LIVE)
    into = ["track_id", "did", "bucket", "kind", "subject_id", "author", "created_at"]
    connection.execute(sa.insert(reaction).from_select(into, shown))
    key = (of.track_id, of.did, of.bucket)
    counted = sa.select(*key, sa.func.count()).group_by(*key)
    connection.execute(sa.insert(track_count).from_select([*into[:3], "likes"], counted))


def like_count(connection: sa.Connection, did: str, track_id: int) -> int:
    of = track_count.c
    return connection.scalar(sa.select(of.likes).where(of.did == did, of.track_id == track_id)) or 0


def carry(connection: sa.Connection, owner: str, like: Any) -> None:
    """Have the track of this owner show the like, or no longer, and count it once."""
    shown = {"track_id": like.track_id, "kind": Like.TOPIC, "subject_id": like.like_id, "did": owner}
    if like.deleted_at is None:
        row = {**shown, "author": like.did, "created_at": like.created_at}
        made = upsert(connection, reaction).on_conflict_do_nothing().returning(reaction.c.subject_id)
        changed = len(connection.execute(made, row).all())
    else:
        these = (reaction.c[name] == value for name, value in shown.items())
        changed = -connection.execute(sa.delete(reaction).where(*these)).rowcount
    if changed:
        count = upsert(connection, track_count)
        more = {"likes": track_count.c.likes + count.excluded.likes}
        key = key_of(connection.dialect.name, track_count)
        count = count.on_conflict_do_update(index_elements=key, set_=more)
        connection.execute(count, {"track_id": like.track_id, "did": owner, "likes": changed})
