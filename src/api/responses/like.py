"""A like as JSON, for the account whose it is, and as the track shows it."""

from typing import Final

from pydantic import BaseModel

from aggregates.like import Like
from aggregates.published import Subject
from api.json_response import body_from
from api.responses.mirror import AnyComparisonBody, AnyMirrorBody, ShownKind
from api.responses.reader import SubjectReader
from api.responses.track import MirrorBody
from eventstore.idempotency import CommandResult


class LikeBody(BaseModel):
    """A like. `uri` and `cid` are those of its own record, without a CID until the PDS has confirmed it; `mirror` says how far it is."""

    id: int
    version: int
    did: str
    track_id: int | None
    created_at: str
    uri: str
    cid: str | None
    mirror: MirrorBody


class LikeMirrorBody(AnyMirrorBody):
    """The mirror of a like's record; attempts newest first."""

    like_id: int


class LikeComparisonBody(AnyComparisonBody):
    """What the log wants of a like's record, what the PDS confirmed last, and what it has now; differing fields are marked."""

    like_id: int


LIKES: Final = ShownKind(Like, LikeMirrorBody, LikeComparisonBody)


def saved_like(reader: SubjectReader, subject: Subject) -> CommandResult:
    like, mirror = reader.state(Like, subject)
    body = body_from(
        LikeBody,
        like,
        id=like.like_id,
        version=like.visible_version,
        uri=mirror.record_uri,
        cid=mirror.record_cid,
        mirror=mirror,
    )
    return CommandResult(200, body, {"ETag": f'"{body.version}"'})
