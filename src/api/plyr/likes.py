"""Likes for the peer's clients."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import sqlalchemy as sa
from fastapi import APIRouter, Response

from aggregates.published import Owned
from aggregates.reactions.like import Like
from aggregates.reactions.reaction import Reaction
from aggregates.tracks.track import Track
from api.auth.authentication import SignedIn
from api.errors import NoRecordError
from api.json_response import AsciiJsonResponse
from api.pipeline.command_request import Command, UseCase
from api.plyr.reading import MAX_LISTED, ROUTER, PeerTrackId, Reader, says
from api.plyr.track import People
from application.authorization import may_see, require_shown
from application.likes import like_track, unlike_track
from eventstore.unit_of_work import UnitOfWork
from projections.reaction_queries import count_at, like_page, reaction_page
from projections.tracks.queries import track_by_id, tracks_of
from projections.tracks.table import TrackView

router: Final = APIRouter(**ROUTER)


def of_record(use_case: UseCase) -> UseCase:
    """Return the use case, which raises NoRecordError where the track has no record."""

    def checked(unit: UnitOfWork) -> Owned:
        made = use_case(unit)
        if isinstance(made, Reaction) and made.track_cid is None:
            raise NoRecordError
        return made

    return checked


@router.get("/tracks/liked")
async def list_liked(principal: SignedIn, reader: Reader) -> Response:
    def liked(connection: sa.Connection) -> Sequence[TrackView]:
        ids = [row.track_id for row in like_page(connection, principal.did, None, MAX_LISTED)]
        found = tracks_of(connection, ids)
        shown = (found[each] for each in ids if each in found)
        return [each for each in shown if may_see(principal, each.did, each.taken_down_at)]

    return AsciiJsonResponse({"tracks": await reader.tracks(liked)})


@router.get("/tracks/{track_id}/likes")
def list_likes(track_id: PeerTrackId, reader: Reader) -> Response:
    with reader.services.database.read() as connection:
        track = require_shown(reader.caller, track_by_id(connection, track_id))
        rows = reaction_page(connection, track.did, Like.TOPIC, track_id, before=None, limit=MAX_LISTED)
        count = count_at(connection, Like.TOPIC, track.did, track_id)
        people = People(connection, reader.services.urls, {row.author for row in rows})
    users = [
        {**dict(people.of(row.author)), "liked_at": row.created_at}
        for row in rows
        if row.author in people.accounts
    ]
    return AsciiJsonResponse({"users": users, "count": count})


@router.post("/tracks/{track_id}/like")
async def like(track_id: PeerTrackId, request: Command) -> Response:
    """Like a track that has a record."""
    on, collection = request.on(Track, track_id), request.services.collection_of(Like.TOPIC)
    use_case = partial(like_track, on=on, collection=collection)
    return await request.answer(of_record(use_case), says(liked=True))


@router.delete("/tracks/{track_id}/like")
async def unlike(track_id: PeerTrackId, request: Command) -> Response:
    on = request.on(Track, track_id)
    return await request.answer(lambda unit: unlike_track(unit, on), says(liked=False))
