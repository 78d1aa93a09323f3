"""Maps a like's and a comment's state to its record, and a record to the fields of either."""

from collections.abc import Mapping
from typing import Any, ClassVar

from aggregates.errors import InvalidFieldError
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.values import checked_comment, checked_timestamp_ms
from outbox.record.dag_cbor import Record
from outbox.record.kind import GENERATION, RecordKind, edited


class ReactionRecords(RecordKind):
    is_optional = True
    own_fields = frozenset({"$type", "subject", "createdAt", GENERATION})

    def record_of(self, state: Any, generation: int) -> Record:
        return {
            "$type": state.collection,
            "subject": {"uri": state.track_uri, "cid": state.track_cid},
            "createdAt": state.created_at,
            GENERATION: generation,
        }

    def fields_of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        match record:
            case {"subject": {"uri": str(uri), "cid": str(cid)}, "createdAt": str(created_at)}:
                own = {field: read(record.get(name)) for name, (field, read) in self.adoptable.items()}
                subject = {"track_id": None, "track_uri": uri, "track_cid": cid}
                return {**subject, "created_at": created_at, **own}
        raise InvalidFieldError("subject", "must be a record, with `createdAt` beside it")


class LikeRecords(ReactionRecords):
    aggregate = Like
    lexicon_id = "fm.plyr.like"


class CommentRecords(ReactionRecords):
    aggregate = Comment
    lexicon_id = "fm.plyr.comment"
    own_fields = ReactionRecords.own_fields | {"text", "timestampMs"}
    adoptable: ClassVar = {
        "text": ("text", checked_comment),
        "timestampMs": ("timestamp_ms", checked_timestamp_ms),
    }

    def record_of(self, state: Any, generation: int) -> Record:
        own = {"text": state.text, "timestampMs": state.timestamp_ms}
        return {**super().record_of(state, generation), **own, **edited(state.edited_at)}
