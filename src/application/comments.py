"""Comments on tracks: by their authors, and hidden by the artist."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from aggregates.reactions.comment import Comment
from aggregates.tracks.track import Track
from application.errors import CommentNotFoundError, CommentsOffError, TooManyCommentsError
from application.reactions import NO_TRACK, new_id, new_reaction, shown_track
from application.subjects import On, change_owned, find
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import accounts_of
from projections import outsiders
from projections.reaction_queries import number_of
from projections.tracks.table import TrackView

MAX_COMMENTS: Final = 20
"""Of one account at one track."""


def are_on(connection: sa.Connection, track: Track | TrackView) -> bool:
    """Whether people may comment on the track: its own value goes before its artist's."""
    artist = accounts_of(connection, [track.did]).get(track.did)
    return artist is not None and (artist.comments if track.comments is None else track.comments)


def comment_on_track(
    unit: UnitOfWork, on: On[Track], collection: str, *, text: str, timestamp_ms: int
) -> Comment:
    """Comment on the track as its record is now. Raises TrackNotFoundError, CommentsOffError and TooManyCommentsError."""
    track, mirror = shown_track(unit, on)
    if not are_on(unit.connection, track):
        raise CommentsOffError
    if number_of(unit.connection, Comment.TOPIC, unit.account, on.id) >= MAX_COMMENTS:
        raise TooManyCommentsError(MAX_COMMENTS)
    begun = new_reaction(unit, on.id, mirror, collection)
    said = {"text": text, "timestamp_ms": timestamp_ms}
    comment = Comment.register(at=unit.now, comment_id=new_id(unit), **begun, **said)
    unit.save(comment)
    return comment


def edit_comment(unit: UnitOfWork, on: On[Comment], changes: Mapping[str, Any]) -> Comment:
    return change_owned(unit, on, lambda comment: comment.edit(changes, at=unit.now))


def hide_comment(unit: UnitOfWork, comment_id: int, *, hidden: bool) -> Track:
    """Hide a comment on a track of the account, or show it again. Raises CommentNotFoundError, and as `load_owned` of the track."""
    comment: Any = find(unit.log, unit.connection, On(Comment, comment_id))
    if comment is None:
        comment = outsiders.locked(unit.connection, outsiders.named(Comment.TOPIC, comment_id))
    if comment is None or not comment.is_public:
        raise CommentNotFoundError
    on = On(Track, comment.track_id or NO_TRACK)
    return change_owned(unit, on, lambda track: track.hide_comment(comment_id, hidden=hidden, at=unit.now))
