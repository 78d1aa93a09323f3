"""A like as JSON, for the account whose it is, and as the track shows it."""

from typing import Any, Final

from pydantic import BaseModel

from aggregates.like import Like
from aggregates.published import Published, Subject
from aggregates.track_list import TrackList
from api.json_response import body_from
from api.responses.mirror import AnyComparisonBody, AnyMirrorBody, ShownKind
from api.responses.reader import SubjectReader
from api.responses.track import MirrorBody
from eventstore.idempotency import CommandResult
from outbox.views.status import Mirror


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


class LikedListBody(BaseModel):
    """The list of likes. `uri` and `cid` are those of its record, and `mirror` says how far that is, or its removal."""

    id: int
    version: int
    did: str
    name: str
    track_count: int
    created_at: str
    uri: str
    cid: str | None
    mirror: MirrorBody


def saved_like(reader: SubjectReader, subject: Subject) -> CommandResult:
    return _saved(LikeBody, *reader.state(Like, subject))


def saved_liked_list(reader: SubjectReader, subject: Subject) -> CommandResult:
    made, mirror = reader.state(TrackList, subject)
    return _saved(LikedListBody, made, mirror, track_count=len(made.items))


def _saved(body: type[BaseModel], subject: Published, mirror: Mirror, **more: Any) -> CommandResult:
    version = subject.visible_version
    of_record = {"uri": mirror.record_uri, "cid": mirror.record_cid, "mirror": mirror}
    shown = body_from(body, subject, id=subject.subject_id, version=version, **of_record, **more)
    return CommandResult(200, shown, {"ETag": f'"{version}"'})
