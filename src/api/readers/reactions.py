"""Reads likes and comments of the caller's, and comments on the caller's tracks, with those tracks, for pages."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from api.json_response import Page, body_from, cut
from api.requests.parameters import PageQuery, cursor_of, page_length
from api.responses.mirror import ShownKind
from api.responses.reaction import CommentRow, LikedBody, comment_row
from api.responses.track import MirrorBody, TrackBody, track_bodies
from api.services import Services
from application.authorization import may_see
from identity.accounts.accounts import accounts_of
from identity.accounts.credentials import Principal
from outbox.firehose.cursors import followed_hosts
from outbox.views.status import mirrors
from projections.reaction_queries import comments_at_tracks_of, comments_by, like_page
from projections.tracks.queries import tracks_of


class TrackCommentRow(CommentRow):
    """The same with the track, null where it is gone, and with the mirror of the caller's own."""

    track: TrackBody | None
    mirror: MirrorBody | None


def list_my_comments(
    principal: Principal, services: Services, wanted: PageQuery, *, by_caller: bool
) -> Page[TrackCommentRow]:
    """List for a page the comments by the caller, or those on all tracks of the caller's, newest first."""
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    read = comments_by if by_caller else comments_at_tracks_of
    with services.database.read() as connection:
        found = read(connection, principal.did, before, limit + 1)
        rows, cursor = cut(found, limit, lambda row: row.comment_id)
        authors = accounts_of(connection, {row.did for row in rows})
        tracks = _shown_tracks(connection, principal, services, [row.track_id for row in rows])
        ids = [row.comment_id for row in rows]
        own = mirrors(connection, principal.did, Comment.TOPIC, ids) if by_caller else {}
    items = [
        body_from(
            TrackCommentRow,
            comment_row(row, authors),
            track=tracks.get(row.track_id),
            mirror=own.get(row.comment_id),
        )
        for row in rows
    ]
    return Page[TrackCommentRow](items=items, cursor=cursor)


class LikedTrackBody(LikedBody):
    """The same with the track, null where there is none that the caller may know of, and with the mirror of the like's record."""

    track: TrackBody | None
    mirror: MirrorBody


def list_my_liked_tracks(principal: Principal, services: Services, wanted: PageQuery) -> Page[LikedTrackBody]:
    """Return for a page what `GET /me/likes` lists, with the tracks and the mirrors."""
    with services.database.read() as connection:
        rows, cursor = likes_of(connection, principal, wanted)
        tracks = _shown_tracks(connection, principal, services, [row.track_id for row in rows])
        found = mirrors(connection, principal.did, Like.TOPIC, [row.like_id for row in rows])
    items = [
        body_from(
            LikedTrackBody,
            row,
            id=row.like_id,
            track=tracks.get(row.track_id),
            mirror=body_from(MirrorBody, found[row.like_id]),
        )
        for row in rows
    ]
    return Page[LikedTrackBody](items=items, cursor=cursor)


def likes_of(connection: sa.Connection, principal: Principal, wanted: PageQuery) -> tuple[Any, str | None]:
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    return cut(like_page(connection, principal.did, before, limit + 1), limit, lambda row: row.like_id)


def _shown_tracks(
    connection: sa.Connection, viewer: Principal, services: Services, track_ids: Iterable[int | None]
) -> dict[int, TrackBody]:
    """Return the live ones of these tracks that the viewer may know of, by id."""
    live = tracks_of(connection, [each for each in track_ids if each is not None]).values()
    views = [view for view in live if may_see(viewer, view.did, view.taken_down_at)]
    return {each.id: each for each in track_bodies(connection, views, services.urls, viewer.did)}


def offers(services: Services, kind: ShownKind[Any]) -> bool:
    """Whether records of the kind can be made."""
    return services.offers(services.kinds[kind.name].collection)


def covered_hosts(services: Services, limit: int) -> list[str]:
    """Return hosts whose accounts count at tracks even where they are not here."""
    return followed_hosts(services.database, limit) if services.follows_firehose else []
