"""Reads likes and comments, those of outsiders too: what an account has said, and what is shown at a track."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa

from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from projections.reactions import (
    HAS_LIKES,
    IS_LIVE,
    IS_SAID,
    SAID,
    SAID_IS_HIDDEN,
    SAID_IS_UP,
    SHOWN,
    comments,
    hidden_comment,
    likes,
    outsider_reaction,
    reaction,
    track_count,
)
from projections.tracks.queries import is_shown_to
from projections.tracks.table import LIVE, TrackView, tracks


def like_of(connection: sa.Connection, did: str, track_id: int) -> sa.Row[Any] | None:
    """Return the account's like of the track, or the newest one that was taken back."""
    found = sa.select(likes).where(likes.c.did == did, likes.c.track_id == track_id)
    newest = found.order_by(likes.c.deleted_at.is_not(None), likes.c.like_id.desc()).limit(1)
    return connection.execute(newest).one_or_none()


def number_of(connection: sa.Connection, kind: str, did: str, track_id: int) -> int:
    """Return how many live ones of a kind the account has at the track."""
    table, subject_id, _ = SHOWN[kind]
    of = table.c
    live = sa.select(sa.func.count(subject_id)).where(of.did == did, of.track_id == track_id)
    return connection.scalar(live.where(of.deleted_at.is_(None))) or 0


def like_page(connection: sa.Connection, did: str, before: int | None, limit: int) -> Sequence[sa.Row[Any]]:
    """Return what the account likes, newest first."""
    query = sa.select(likes).where(likes.c.did == did, IS_LIVE)
    return connection.execute(_newest(query, likes.c.like_id, before, limit)).all()


def reaction_page(
    connection: sa.Connection, did: str, kind: str, track_id: int, *, before: int | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Return the reactions of a kind to a track of the account, newest first."""
    of = reaction.c
    query = sa.select(reaction).where(of.did == did, of.track_id == track_id, of.kind == kind)
    return connection.execute(_newest(query, of.subject_id, before, limit)).all()


def liker_page(
    connection: sa.Connection,
    did: str,
    track_id: int,
    *,
    taken_down_too: bool,
    before: int | None,
    limit: int,
) -> Sequence[sa.Row[Any]]:
    """Return who likes a track of the account, newest first, with the takedowns of people without an account here."""
    of = reaction.c
    up = sa.select(*(of[name] for name in _LIKER), *(sa.null().label(name) for name in _TAKEDOWN))
    up = up.where(of.did == did, of.track_id == track_id, of.kind == Like.TOPIC)
    found = list(connection.execute(_newest(up, of.subject_id, before, limit)))
    if taken_down_too:
        down = sa.select(*(SAID[name] for name in (*_LIKER, *_TAKEDOWN)))
        down = down.where(SAID.did == did, SAID.track_id == track_id, SAID.kind == Like.TOPIC, ~SAID_IS_UP)
        found += connection.execute(_newest(down, SAID.subject_id, before, limit))
    return sorted(found, key=lambda row: row.subject_id, reverse=True)[:limit]


_LIKER: Final = ("subject_id", "track_id", "author", "created_at")
_TAKEDOWN: Final = ("taken_down_at", "takedown_reason")


class Others(Enum):
    """Which comments of others an account sees at a track."""

    NONE = "comments are off"
    SHOWN = "neither hidden nor taken down"
    ALL = "for operators"


def comment_page(
    connection: sa.Connection,
    owner: str,
    track_id: int,
    viewer: str | None,
    *,
    others: Others,
    before: int | None,
    limit: int,
) -> Sequence[sa.Row[Any]]:
    """Return the comments on a track, newest first: all of the viewer's own, and those of others; `is_hidden` says which are hidden."""
    of, carried = comments.c, reaction.c
    of_track = (hidden_comment.c.did == owner, hidden_comment.c.track_id == track_id)
    is_hidden = _is_in(of.comment_id, sa.select(hidden_comment.c.comment_id).where(*of_track))
    these = [of.track_id == track_id]
    if others is not Others.ALL:
        known = sa.select(carried.subject_id).where(
            carried.did == owner, carried.track_id == track_id, carried.kind == Comment.TOPIC
        )
        is_shown = _is_in(of.comment_id, known) & of.taken_down_at.is_(None) & ~is_hidden
        own = of.did == (viewer or "")
        these.append(own if others is Others.NONE else is_shown | own)
    outside = None
    if others is not Others.NONE:
        outside = [SAID.did == owner, SAID.track_id == track_id]
        if others is not Others.ALL:
            outside += (SAID_IS_UP, ~SAID_IS_HIDDEN)
    return _comments(connection, is_hidden, these, before, limit, outside=outside)


def comments_by(connection: sa.Connection, did: str, before: int | None, limit: int) -> Sequence[sa.Row[Any]]:
    """Return what the account has said, newest first."""
    return _comments(connection, sa.false(), [comments.c.did == did], before, limit)


def comments_at_tracks_of(
    connection: sa.Connection, did: str, before: int | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Return the comments on all tracks of the account, those that it hides too, newest first."""
    of = comments.c
    its_tracks = sa.select(tracks.c.track_id).where(tracks.c.did == did, LIVE)
    hidden = sa.select(hidden_comment.c.comment_id).where(hidden_comment.c.did == did)
    there = [_is_in(of.track_id, its_tracks), of.taken_down_at.is_(None)]
    outside = [SAID.did == did, SAID.track_id.in_(its_tracks), SAID_IS_UP]
    return _comments(connection, _is_in(of.comment_id, hidden), there, before, limit, outside=outside)


def _is_in(key: sa.ColumnElement[int], of_owner: sa.Select[int]) -> sa.ColumnElement[bool]:
    """Whether the key is one of these, which are read apart: the owner's rows may lie on another node than a comment (ADR 55)."""
    return key.in_(sa.select(of_owner.cte()))


def _comments(
    connection: sa.Connection,
    is_hidden: sa.ColumnElement[bool],
    these: Sequence[sa.ColumnElement[bool]],
    before: int | None,
    limit: int,
    *,
    outside: Sequence[sa.ColumnElement[bool]] | None = None,
) -> Sequence[sa.Row[Any]]:
    """Return a page of comments, and of those of outsiders for which `outside` holds."""
    query = sa.select(comments, is_hidden.label("is_hidden")).where(IS_SAID, *these)
    found = list(connection.execute(_newest(query, comments.c.comment_id, before, limit)))
    if outside is not None:
        said = sa.select(*_AS_COMMENTS, SAID_IS_HIDDEN.label("is_hidden"))
        said = said.where(SAID.kind == Comment.TOPIC, *outside)
        found += connection.execute(_newest(said, SAID.subject_id, before, limit))
    return sorted(found, key=lambda row: row.comment_id, reverse=True)[:limit]


def _newest(
    query: sa.Select[*tuple[Any, ...]], key: sa.ColumnElement[int], before: int | None, limit: int
) -> sa.Select[*tuple[Any, ...]]:
    query = query.order_by(key.desc()).limit(limit)
    return query if before is None else query.where(key < before)


_OF_OUTSIDER: Final[dict[str, sa.ColumnElement[Any]]] = {
    "comment_id": outsider_reaction.c.subject_id,
    "did": outsider_reaction.c.author,
    "visible_version": sa.literal(1),
}
_AS_COMMENTS: Final = [
    _OF_OUTSIDER.get(each.name, outsider_reaction.c.get(each.name, sa.null())).label(each.name)
    for each in comments.c
]


def count_at(connection: sa.Connection, kind: str, did: str, track_id: int) -> int:
    """Return how many reactions of a kind others see at a track of the account."""
    of = track_count.c
    number = sa.select(of[SHOWN[kind][0].name]).where(of.did == did, of.track_id == track_id)
    return connection.scalar(number) or 0


MAX_RANKED_TRACKS: Final = 200
"""Some may be unlisted."""
MAX_COUNTED_LIKES: Final = 1_000


def most_liked(connection: sa.Connection, since: str | None, limit: int) -> Sequence[TrackView]:
    """Return those of the MAX_RANKED_TRACKS with the most likes that are listed; none without a like.

    Since a time, the newest MAX_COUNTED_LIKES count alone.
    """
    ranked = (_most_liked() if since is None else _most_liked_since(since)).limit(MAX_RANKED_TRACKS)
    given = ranked.subquery().c
    same = sa.and_(given.did == tracks.c.did, given.track_id == tracks.c.track_id)
    found = sa.select(tracks).where(same, LIVE, is_shown_to(None))
    found = found.order_by(given.likes.desc(), tracks.c.track_id.desc()).limit(limit)
    return [TrackView.from_row(row) for row in connection.execute(found)]


def _most_liked() -> sa.Select[*tuple[Any, ...]]:
    of = track_count.c
    most = sa.select(of.track_id, of.did, of.bucket, of.likes).where(HAS_LIKES)
    return most.order_by(of.likes.desc(), of.track_id.desc())


def _most_liked_since(since: str) -> sa.Select[*tuple[Any, ...]]:
    of, number = reaction.c, sa.func.count().label("likes")
    given = sa.select(of.track_id, of.did, of.bucket).where(of.kind == Like.TOPIC, of.created_at >= since)
    newest = given.order_by(of.created_at.desc()).limit(MAX_COUNTED_LIKES).subquery().c
    return sa.select(*newest, number).group_by(*newest).order_by(number.desc(), newest.track_id.desc())
