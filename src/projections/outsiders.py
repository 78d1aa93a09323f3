"""What outsiders, people without an account here, say of tracks: as rows of the tracks' owners, and counted as all other reactions are."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from eventstore.jobs.table import PAST
from eventstore.streams.append import upsert
from eventstore.streams.buckets import BUCKETS
from eventstore.streams.ids import next_subject_id
from projections.reactions import add_to_count, carry, outsider_reaction, reaction

_of: Final = outsider_reaction.c
_REACTION: Final = (_of.did.label("owner"), _of.kind, _of.track_id, _of.subject_id, _of.created_at)
_SHOWN: Final = sa.select(
    *_REACTION,
    _of.author.label("did"),
    _of.taken_down_at.is_(None).label("is_public"),
    _of.taken_down_at,
)
_GONE: Final = sa.select(*_REACTION, sa.false().label("is_public"))
"""A reaction as `carry` takes it."""
_STAYS: Final = sa.and_(_of.kind == Like.TOPIC, _of.taken_down_at.is_not(None))
"""Whether its row outlives its record: else a person whose like was taken down would show it again by liking again."""


def record(author: str, collection: str, rkey: str) -> sa.ColumnElement[bool]:
    return sa.and_(_of.author == author, _of.collection == collection, _of.rkey == rkey)


def records_at(host: str, author: str | None) -> sa.ColumnElement[bool]:
    """Return what this host has shown, of one outsider or of all."""
    return sa.and_(_of.host == host, sa.true() if author is None else _of.author == author)


def these(places: Collection[tuple[str, str]]) -> sa.ColumnElement[bool]:
    return sa.tuple_(_of.collection, _of.rkey).in_(places)


def replaced_by(owner: str, kind: str, made: Any) -> sa.ColumnElement[bool]:
    """Return what the author said, before having an account here, that the reaction `made` says now."""
    same = sa.true() if kind == Like.TOPIC else _of.rkey == made.rkey
    of_track = (_of.did == owner, _of.track_id == made.track_id, _of.author == made.did)
    return sa.and_(*of_track, _of.kind == kind, same)


def remove(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Have tracks no longer show and count these."""
    for gone in connection.execute(_GONE.where(which, ~_STAYS)).all():
        of_track = (_of.did == gone.owner, _of.subject_id == gone.subject_id)
        if connection.execute(sa.delete(outsider_reaction).where(*of_track, which)).rowcount:
            carry(connection, gone.owner, gone.kind, gone)


def forget(connection: sa.Connection, host: str) -> int:
    """Remove all that this host has shown, of each track at once, and return how many reactions that was."""
    shown, forgotten = sa.select(_of.did, _of.track_id).where(_of.host == host).distinct(), 0
    for owner, track_id in connection.execute(shown.order_by(_of.track_id)).all():
        theirs = (_of.did == owner, _of.track_id == track_id, _of.host == host, ~_STAYS)
        ids = sa.select(_of.subject_id).where(*theirs)
        connection.execute(ids.with_for_update()).all()  # a job may be about to have the track show one
        of_track = (reaction.c.did == owner, reaction.c.track_id == track_id)
        gone = sa.delete(reaction).where(*of_track, reaction.c.subject_id.in_(ids)).returning(reaction.c.kind)
        for kind, number in Counter(connection.scalars(gone)).items():
            add_to_count(connection, owner, track_id, kind, -number)
        forgotten += connection.execute(sa.delete(outsider_reaction).where(*theirs)).rowcount
    return forgotten


def reverify(connection: sa.Connection, which: sa.ColumnElement[bool], **moved: str) -> None:
    """Have these read again, before others."""
    connection.execute(sa.update(outsider_reaction).where(which).values(read_at=PAST, **moved))


def next_to_read(connection: sa.Connection, host: str, before: datetime, now: datetime) -> Any:
    """Return the record of the host that was read longest ago, if that was before this time; it counts as read now."""
    is_due = (_of.host == host, _of.read_at < before)
    oldest = sa.select(outsider_reaction).where(*is_due).order_by(_of.read_at).limit(1)
    found = connection.execute(oldest).one_or_none()
    if found is not None:
        which = (_of.did == found.did, _of.subject_id == found.subject_id)
        connection.execute(sa.update(outsider_reaction).where(*which).values(read_at=now))
    return found


def put(connection: sa.Connection, row: Mapping[str, Any], *, max_comments: int, max_of_host: int) -> bool:
    """Have its track show and count what a record says, and no other track any longer; return whether it is the last of its host that day.

    Of one outsider at one track that is the first like, and so many comments; of one host, what it shows of the track first on a day (UTC).
    """
    owner, of_record = row["did"], record(row["author"], row["collection"], row["rkey"])
    remove(connection, sa.and_(of_record, _of.track_id != row["track_id"]))
    this = sa.and_(of_record, _of.did == owner)
    said, is_last = {name: row[name] for name in ("host", "text", "timestamp_ms")}, False
    if connection.execute(sa.update(outsider_reaction).where(this).values(said)).rowcount == 0:
        by_author = (_of.did == owner, _of.track_id == row["track_id"], _of.author == row["author"])
        said_there = sa.select(sa.func.count()).where(*by_author, _of.kind == Comment.TOPIC)
        if row["kind"] == Comment.TOPIC and (connection.scalar(said_there) or 0) >= max_comments:
            return False
        today = row["shown_at"].replace(hour=0, minute=0, second=0, microsecond=0)
        by_host = (_of.did == owner, _of.track_id == row["track_id"], _of.host == row["host"])
        shown_today = sa.select(sa.func.count()).where(*by_host, _of.shown_at >= today)
        left = max_of_host - (connection.scalar(shown_today) or 0)
        if left <= 0:
            return False
        new = upsert(connection, outsider_reaction).on_conflict_do_nothing().returning(_of.subject_id)
        numbered = {**row, "subject_id": next_subject_id(connection, owner)}
        is_last = len(connection.execute(new, numbered).all()) == left == 1
    if (made := locked(connection, this)) is not None:
        carry(connection, owner, made.kind, made)
    return is_last


def locked(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Any:
    """Return a reaction, which stays as it is until the transaction ends; None where there is none."""
    return connection.execute(_SHOWN.where(which).with_for_update()).one_or_none()


def take_down(
    connection: sa.Connection, kind: str, subject_id: int, reason: str | None, at: datetime
) -> bool:
    """Hide a reaction from all but operators, without a reason show it again; return whether that changed anything.

    One that is shown again is read again before others: its record may be gone.
    """
    is_up, which = _of.taken_down_at.is_(None), named(kind, subject_id)
    taken = {"taken_down_at": at if reason else None, "takedown_reason": reason}
    again = {} if reason else {"read_at": PAST}
    change = sa.update(outsider_reaction).where(which, is_up if reason else ~is_up).values(**taken, **again)
    if not connection.execute(change).rowcount:
        return False
    made = locked(connection, which)
    carry(connection, made.owner, made.kind, made)
    return True


def reaction_at(connection: sa.Connection, kind: str, subject_id: int) -> Any:
    return connection.execute(_SHOWN.where(named(kind, subject_id))).one_or_none()


def named(kind: str, subject_id: int) -> sa.ColumnElement[bool]:
    is_named = sa.and_(_of.subject_id == subject_id, _of.bucket == subject_id % BUCKETS)
    return sa.and_(is_named, _of.kind == kind)
