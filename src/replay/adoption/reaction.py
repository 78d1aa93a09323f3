"""Makes a like or a comment of a record, which brings no bytes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aggregates.errors import InvalidFieldError
from aggregates.like import Like
from aggregates.published import Published
from aggregates.track import Track
from eventstore.database import Database
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.namespace_moves import subject_with_record
from outbox.pds.client import RecordKey, Remote
from outbox.reactions.record import ReactionRecords
from projections.reactions import number_of
from replay.adoption.adopt import Adoptee
from replay.adoption.record import SAMPLE_TIME, proven_body, require_writable


@dataclass(frozen=True)
class AdoptableReaction:
    """A record as the fields of its reaction."""

    kind: ReactionRecords
    key: RecordKey
    fields: Mapping[str, Any]

    def adopted(self, subject_id: int, at: datetime) -> Published:
        where = {"did": self.key.did, "collection": self.key.collection, "rkey": self.key.rkey}
        return self.kind.aggregate.adopt(
            at=at, **{f"{self.kind.name}_id": subject_id}, **where, **self.fields
        )


@dataclass(frozen=True)
class ReactionIntake:
    """Adopts reactions; a track that is not here is named by its record alone. Of likes, it takes one for each track."""

    kind: ReactionRecords
    database: Database

    def read(self, key: RecordKey, remote: Remote) -> AdoptableReaction:
        body = proven_body(key, remote)
        fields = {**self.kind.fields_of(body), "cid": remote.cid or "", "track_id": None}
        require_writable(
            self.kind, AdoptableReaction(self.kind, key, fields).adopted(1, SAMPLE_TIME), body, {}
        )
        with self.database.read() as connection:
            found = subject_with_record(connection, RecordKey.of_uri(fields["track_uri"]))
        if found is not None and found.kind == Track.TOPIC:
            fields["track_id"] = found.id
        return AdoptableReaction(self.kind, key, fields)

    @asynccontextmanager
    async def brought(self, host: str, record: AdoptableReaction) -> AsyncGenerator[Adoptee]:  # noqa: ARG002
        def require_first(unit: UnitOfWork) -> None:
            track_id = record.fields["track_id"]
            if self.kind.aggregate is not Like or track_id is None:
                return
            if number_of(unit.connection, Like.TOPIC, record.key.did, track_id) > 1:
                raise InvalidFieldError(
                    "subject", "must be a track that no other record of the account likes"
                )

        def made(unit: UnitOfWork) -> Published:
            return record.adopted(next_subject_id(unit.connection, record.key.did), unit.now)

        yield Adoptee(made, require_first)
