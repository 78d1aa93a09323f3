"""Likes of tracks."""

from aggregates.reactions.like import Like
from aggregates.tracks.track import Track
from application.errors import LikeNotFoundError
from application.reactions import new_id, new_reaction, shown_track
from application.subjects import On
from eventstore.unit_of_work import UnitOfWork
from projections.reaction_queries import like_of


def like_track(unit: UnitOfWork, on: On[Track], collection: str) -> Like:
    """Like the track as its record is now; one that is liked already stays as it is. Raises TrackNotFoundError."""
    _, mirror = shown_track(unit, on)
    if (row := like_of(unit.connection, unit.account, on.id)) is not None:
        like = unit.load(Like, Like.create_id(row.like_id))
        like.like_again(mirror.record_cid, at=unit.now)
    else:
        like = Like.register(
            at=unit.now, like_id=new_id(unit), **new_reaction(unit, on.id, mirror, collection)
        )
    unit.save(like)
    return like


def unlike_track(unit: UnitOfWork, on: On[Track]) -> Like:
    """Take the like back; a second time is no change. Raises LikeNotFoundError where there was none."""
    row = like_of(unit.connection, unit.account, on.id)
    if row is None:
        raise LikeNotFoundError
    like = unit.load(Like, Like.create_id(row.like_id))
    like.delete(at=unit.now)
    unit.save(like)
    return like
