"""Maps a like's state to its record."""

from datetime import datetime

from aggregates.like import Like
from outbox.record.dag_cbor import Record
from outbox.record.kind import GENERATION, RecordKind, known_lexicons


class LikeRecords(RecordKind):
    aggregate = Like
    is_optional = True
    own_fields = frozenset({"$type", "subject", "createdAt", GENERATION})

    def __init__(self, collection: str | None = None) -> None:
        super().__init__(known_lexicons()["fm.plyr.like"], collection)

    def record_of(self, state: Like, generation: int) -> Record:
        return {
            "$type": state.collection,
            "subject": {"uri": state.track_uri, "cid": state.track_cid},
            "createdAt": state.created_at,
            GENERATION: generation,
        }

    def take_back(self, state: Like, record: Record, *, at: datetime) -> None:
        """Nothing: a like has nothing that must not wait."""
