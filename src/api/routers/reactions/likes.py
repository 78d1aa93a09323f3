"""Likes of tracks: an account's own, and those that a track has."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from aggregates.lists.track_list import TrackList
from aggregates.reactions.like import Like
from aggregates.tracks.track import Track
from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn
from api.json_response import Page, body_from, cut
from api.openapi import errors
from api.pipeline.command_request import Command
from api.readers.reactions import likes_of
from api.requests.parameters import PageQuery, StrictRoute, TrackId, cursor_of, page_length
from api.responses.reaction import HANDLE, LikeBody, LikedBody, LikedListBody, saved_like, saved_liked_list
from application.authorization import require_shown
from application.likes import like_track, unlike_track
from application.lists.liked import turn_off, turn_on
from identity.accounts.accounts import accounts_of, handle_in
from projections.reaction_queries import liker_page
from projections.tracks.queries import track_by_id

router = APIRouter(tags=["likes"], route_class=StrictRoute)


@router.put("/tracks/{track_id}/like", response_model=LikeBody, responses=errors(501))
async def like(track_id: TrackId, request: Command) -> Response:
    """Like a track. While it has no record, the like's own waits for that: its mirror is `pending`, because of `subject`."""
    on, collection = request.on(Track, track_id), request.services.collection_of(Like.TOPIC)
    return await request.answer(partial(like_track, on=on, collection=collection), saved_like)


@router.delete("/tracks/{track_id}/like", response_model=LikeBody)
async def unlike(track_id: TrackId, request: Command) -> Response:
    """Take a like back, and delete its record."""
    return await request.answer(partial(unlike_track, on=request.on(Track, track_id)), saved_like)


@router.put("/me/likes/record", response_model=LikedListBody, responses=errors(501))
async def turn_record_on(request: Command) -> Response:
    """Have a record on the PDS that lists the newest 500 likes, and follows them within a minute."""
    services = request.services
    collection, kind = services.collection_of(TrackList.TOPIC), services.kinds[TrackList.TOPIC]
    return await request.answer(partial(turn_on, collection=collection, kind=kind), saved_liked_list)


@router.delete("/me/likes/record", response_model=LikedListBody)
async def turn_record_off(request: Command) -> Response:
    """Delete the record that lists the likes; they stay."""
    return await request.answer(turn_off, saved_liked_list)


class LikerBody(BaseModel):
    """Who likes a track, and since when."""

    id: int
    did: str
    handle: str = Field(description=HANDLE)
    track_id: int
    created_at: str
    outsider: bool = Field(description="whether its account is not here")
    taken_down_at: datetime | None = Field(description="of one that operators alone see")
    reason: str | None = Field(description="the operator's")


@router.get("/tracks/{track_id}/likes", responses=errors(401))
def list_likes(
    caller: OptionalCaller, services: ServicesDep, track_id: TrackId, wanted: Annotated[PageQuery, Query()]
) -> Page[LikerBody]:
    """List who likes a track, newest first; a new like is there within seconds. One that is taken down is for operators."""
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    with services.database.read() as connection:
        track = require_shown(caller, track_by_id(connection, track_id))
        is_operator = caller is not None and caller.operator
        page = partial(liker_page, connection, track.did, track_id, before=before, limit=limit + 1)
        found = page(taken_down_too=is_operator)
        rows, cursor = cut(found, limit, lambda row: row.subject_id)
        accounts = accounts_of(connection, {row.author for row in rows})
    items = [
        body_from(
            LikerBody,
            row,
            id=row.subject_id,
            did=row.author,
            handle=handle_in(accounts, row.author),
            outsider=row.author not in accounts,
            reason=row.takedown_reason,
        )
        for row in rows
    ]
    return Page[LikerBody](items=items, cursor=cursor)


@router.get("/me/likes")
def list_my_likes(
    principal: SignedIn, services: ServicesDep, wanted: Annotated[PageQuery, Query()]
) -> Page[LikedBody]:
    """List what the caller likes, newest first."""
    with services.database.read() as connection:
        rows, cursor = likes_of(connection, principal, wanted)
    return Page[LikedBody](items=[body_from(LikedBody, row, id=row.like_id) for row in rows], cursor=cursor)
