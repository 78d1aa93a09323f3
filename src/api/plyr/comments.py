"""Comments for the peer's clients."""

from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Response

from aggregates.published import Subject
from aggregates.reactions.comment import Comment
from api.json_response import AsciiJsonResponse
from api.openapi import names
from api.pipeline.command_request import Command
from api.plyr.likes import of_record
from api.plyr.reading import MAX_LISTED, ROUTER, PeerTrackId, Reader, says
from api.plyr.track import People
from api.requests.fields import CommentFields
from api.requests.parameters import CommentId
from api.responses.reader import SubjectReader
from api.routers.reactions.comments import answer_comment, answer_edit, shown_comments
from application.authorization import require_shown
from application.comments import are_on
from application.subjects import delete_owned
from eventstore.idempotency import CommandResult
from outbox.tracks.record import RecordUrls
from projections.tracks.queries import track_by_id

router: Final = APIRouter(**ROUTER)


@router.get("/tracks/{track_id}/comments")
def list_comments(track_id: PeerTrackId, reader: Reader) -> Response:
    """List the comments on a track in the order of its audio; none while they are off."""
    with reader.services.database.read() as connection:
        track = require_shown(reader.caller, track_by_id(connection, track_id))
        is_on = are_on(connection, track)
        rows = shown_comments(connection, reader.caller, track, None, MAX_LISTED) if is_on else ()
        comments = _shown(connection, reader.services.urls, rows)
    comments.sort(key=itemgetter("timestamp_ms", "id"))
    return AsciiJsonResponse({"comments": comments, "count": len(comments), "comments_enabled": is_on})


@router.post("/tracks/{track_id}/comments", openapi_extra=names(*CommentFields.model_fields))
async def comment(track_id: PeerTrackId, request: Command) -> Response:
    """Comment on a track that has a record."""
    return await answer_comment(track_id, request, _saved, of_record)


@router.patch("/tracks/comments/{comment_id}", openapi_extra=names("text"))
async def edit(comment_id: CommentId, request: Command) -> Response:
    return await answer_edit(comment_id, request, _saved)


@router.delete("/tracks/comments/{comment_id}")
async def delete(comment_id: CommentId, request: Command) -> Response:
    on = request.on(Comment, comment_id)
    return await request.answer(partial(delete_owned, on=on), says(deleted=True), on=on)


def _saved(reader: SubjectReader, subject: Subject) -> CommandResult:
    made, _ = reader.state(Comment, subject)
    return CommandResult(200, _shown(reader.connection, reader.services.urls, [made])[0], {})


def _shown(connection: sa.Connection, urls: RecordUrls, comments: Sequence[Any]) -> list[dict[str, Any]]:
    people = People(connection, urls, {each.did for each in comments})
    return [
        {
            "id": each.comment_id,
            **{f"user_{name}": value for name, value in people.of(each.did)},
            "text": each.text,
            "timestamp_ms": each.timestamp_ms,
            "created_at": each.created_at,
            "updated_at": each.edited_at.isoformat() if each.edited_at is not None else None,
        }
        for each in comments
    ]
