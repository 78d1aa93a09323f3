"""Comments on tracks: by their authors, as a track shows them, and hidden by the track's owner."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from aggregates.published import Subject
from aggregates.reactions.comment import Comment
from aggregates.tracks.track import Track
from api.auth.authentication import OptionalCaller, ServicesDep
from api.json_response import Page, cut, result_of
from api.openapi import errors, fields_of
from api.pipeline.command_request import Command, CommandRequest, Respond, UseCase
from api.requests.body import fields_as
from api.requests.fields import CommentFields, EditCommentFields
from api.requests.parameters import CommentId, PageQuery, StrictRoute, TrackId, cursor_of, page_length
from api.responses.reaction import CommentBody, CommentRow, comment_row, created_comment, saved_comment
from api.responses.reader import SubjectReader
from application.authorization import require_shown
from application.comments import are_on, comment_on_track, edit_comment, hide_comment
from application.subjects import delete_owned
from eventstore.idempotency import CommandResult
from identity.accounts.accounts import accounts_of
from identity.accounts.credentials import Principal, did_of
from projections.reaction_queries import Others, comment_page
from projections.tracks.queries import track_by_id
from projections.tracks.table import TrackView

router = APIRouter(tags=["comments"], route_class=StrictRoute)


@router.get("/tracks/{track_id}/comments", responses=errors(401))
def list_comments(
    caller: OptionalCaller, services: ServicesDep, track_id: TrackId, wanted: Annotated[PageQuery, Query()]
) -> Page[CommentRow]:
    """List the comments on a track, newest first; one's own at once, others within seconds.

    Those that are hidden or taken down are for their authors and operators, as all are while comments are off.
    """
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    with services.database.read() as connection:
        track = require_shown(caller, track_by_id(connection, track_id))
        found = shown_comments(connection, caller, track, before, limit + 1)
        rows, cursor = cut(found, limit, lambda row: row.comment_id)
        authors = accounts_of(connection, {row.did for row in rows})
    return Page[CommentRow](items=[comment_row(row, authors) for row in rows], cursor=cursor)


def shown_comments(
    connection: sa.Connection, caller: Principal | None, track: TrackView, before: int | None, limit: int
) -> Sequence[sa.Row[Any]]:
    """Return the comments on a track that the caller sees, newest first."""
    others = Others.SHOWN if are_on(connection, track) else Others.NONE
    if caller is not None and caller.operator:
        others = Others.ALL
    viewer = did_of(caller)
    return comment_page(
        connection, track.did, track.track_id, viewer, others=others, before=before, limit=limit
    )


@router.post(
    "/tracks/{track_id}/comments",
    status_code=201,
    response_model=CommentBody,
    openapi_extra=fields_of(CommentFields),
    responses=errors(501),
)
async def comment(track_id: TrackId, request: Command) -> Response:
    """Comment on a track at a place of its audio. While it has no record, the comment's own waits for that: its mirror is `pending`, because of `subject`."""
    return await answer_comment(track_id, request, created_comment)


async def answer_comment(
    track_id: int,
    request: CommandRequest,
    show: Respond,
    checked: Callable[[UseCase], UseCase] = lambda use_case: use_case,
) -> Response:
    on, collection = request.on(Track, track_id), request.services.collection_of(Comment.TOPIC)
    async with request.begin() as attempt:
        if not attempt.is_repetition:
            said = fields_as(CommentFields, attempt.body)
            use_case = partial(comment_on_track, on=on, collection=collection, **dict(said))
            await attempt.commit(checked(use_case), show)
    return await attempt.response()


@router.patch(
    "/comments/{comment_id}", response_model=CommentBody, openapi_extra=fields_of(EditCommentFields)
)
async def edit(comment_id: CommentId, request: Command) -> Response:
    """Change the text, or the place in the audio."""
    return await answer_edit(comment_id, request, saved_comment)


async def answer_edit(comment_id: int, request: CommandRequest, show: Respond) -> Response:
    on = request.on(Comment, comment_id)
    async with request.begin(on=on) as attempt:
        if not attempt.is_repetition:
            changes = fields_as(EditCommentFields, attempt.body).model_dump(exclude_unset=True)
            await attempt.commit(partial(edit_comment, on=on, changes=changes), show)
    return await attempt.response()


@router.delete("/comments/{comment_id}", response_model=CommentBody)
async def delete(comment_id: CommentId, request: Command) -> Response:
    """Delete a comment and its record."""
    on = request.on(Comment, comment_id)
    return await request.answer(partial(delete_owned, on=on), saved_comment, on=on)


class HiddenCommentBody(BaseModel):
    """Whether the artist hides a comment."""

    id: int
    track_id: int
    hidden: bool


@router.put("/comments/{comment_id}/hidden", response_model=HiddenCommentBody)
async def hide(comment_id: CommentId, request: Command) -> Response:
    """Hide a comment on a track of the caller's from all but its author and operators. The history of the track says so."""
    return await _set_hidden(comment_id, request, hidden=True)


@router.delete("/comments/{comment_id}/hidden", response_model=HiddenCommentBody)
async def unhide(comment_id: CommentId, request: Command) -> Response:
    """Show a comment again that the caller has hidden."""
    return await _set_hidden(comment_id, request, hidden=False)


async def _set_hidden(comment_id: int, request: CommandRequest, *, hidden: bool) -> Response:
    def show(_reader: SubjectReader, track: Subject) -> CommandResult:
        return result_of(HiddenCommentBody(id=comment_id, track_id=track.id, hidden=hidden))

    return await request.answer(partial(hide_comment, comment_id=comment_id, hidden=hidden), show)
