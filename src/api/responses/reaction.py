"""A like or a comment as JSON, for the account whose it is, and comments as their track shows them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field

from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.reactions.reaction import Reaction
from api.json_response import Versioned, body_from, result_of
from api.responses.mirror import ShownKind, bodies_of
from api.responses.reader import SubjectReader, body_of_record
from api.responses.track import MirrorBody
from eventstore.idempotency import CommandResult
from identity.accounts.accounts import Account, handle_in
from outbox.pds.client import RecordKey

HANDLE: Final = "`handle.invalid` of an account that is not here, or while the DID document confirms none"


class AnyReactionBody(Versioned):
    """A like or a comment."""

    did: str
    track_id: int | None
    created_at: str
    uri: str


class LikeBody(AnyReactionBody):
    """A like. `uri` and `cid` are those of its own record, without a CID until the PDS has confirmed it; `mirror` says how far it is."""

    cid: str | None
    mirror: MirrorBody


class AnyCommentBody(AnyReactionBody):
    text: str
    timestamp_ms: int
    edited_at: datetime | None


class CommentBody(AnyCommentBody):
    """A comment. `uri` and `cid` are those of its own record, without a CID until the PDS has confirmed it; `mirror` says how far it is."""

    cid: str | None
    mirror: MirrorBody


class CommentRow(AnyCommentBody):
    """A comment as its track shows it."""

    handle: str = Field(description=HANDLE)
    hidden_by: str | None = Field(
        description="of one that its author and operators alone see: `artist` or `operator`"
    )
    reason: str | None = Field(description="the operator's")


class LikedListBody(Versioned):
    """The list of likes. `uri` and `cid` are those of its record, and `mirror` says how far that is, or its removal."""

    did: str
    name: str
    track_count: int
    created_at: str
    uri: str
    cid: str | None
    mirror: MirrorBody


LIKES: Final = ShownKind(Like, *bodies_of("like"))
COMMENTS: Final = ShownKind(Comment, *bodies_of("comment"))


def saved(
    kind: type[Reaction], body: type[LikeBody] | type[CommentBody], status: HTTPStatus = HTTPStatus.OK
) -> Callable[[SubjectReader, Subject], CommandResult]:
    def show(reader: SubjectReader, subject: Subject) -> CommandResult:
        where = {"Location": f"/{subject.kind}s/{subject.id}/mirror"} if status is HTTPStatus.CREATED else {}
        return result_of(body_of_record(body, *reader.state(kind, subject)), status, **where)

    return show


def saved_liked_list(reader: SubjectReader, subject: Subject) -> CommandResult:
    made, mirror = reader.state(TrackList, subject)
    return result_of(body_of_record(LikedListBody, made, mirror, track_count=len(made.items)))


saved_like: Final = saved(Like, LikeBody)
created_comment: Final = saved(Comment, CommentBody, HTTPStatus.CREATED)
saved_comment: Final = saved(Comment, CommentBody)


def comment_row(row: Any, authors: Mapping[str, Account]) -> CommentRow:
    by = "operator" if row.taken_down_at is not None else "artist" if row.is_hidden else None
    return body_from(
        CommentRow,
        row,
        id=row.comment_id,
        version=row.visible_version,
        uri=RecordKey(row.did, row.collection, row.rkey).uri,
        handle=handle_in(authors, row.did),
        hidden_by=by,
        reason=row.takedown_reason,
    )


class LikedBody(BaseModel):
    """What an account likes; `track_uri` and `track_cid` are those of the track's record when it was liked."""

    id: int
    did: str
    track_id: int | None
    track_uri: str
    track_cid: str | None
    created_at: str
