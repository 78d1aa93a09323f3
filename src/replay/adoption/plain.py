"""Makes of a record what brings no bytes: a like, a comment or a profile."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from aggregates.reactions.like import Like
from aggregates.tracks.track import Track
from eventstore.sql.database import Database
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.namespace_moves import subject_with_record
from outbox.pds.client import RecordKey, Remote
from outbox.record.kind import RecordKind
from projections.reaction_queries import number_of
from replay.adoption.adopt import Adoptee
from replay.adoption.record import SAMPLE_TIME, proven_body, require_writable


@dataclass(frozen=True)
class PlainRecord:
    """A record as the fields of its subject."""

    kind: RecordKind
    key: RecordKey
    fields: Mapping[str, Any]

    def made(self, unit: UnitOfWork) -> Published:
        return self.adopted(next_subject_id(unit.connection, self.key.did), unit.now)

    def adopted(self, subject_id: int, at: datetime, **others: Any) -> Published:
        fields = {**self.fields, **others, **vars(self.key), f"{self.kind.name}_id": subject_id}
        return self.kind.aggregate.adopt(at=at, **fields)


@dataclass(frozen=True)
class PlainIntake:
    """Adopts records of a kind that name no bytes."""

    kind: RecordKind

    def read(self, key: RecordKey, remote: Remote) -> PlainRecord:
        body = proven_body(key, remote)
        if self.kind.only_key not in {None, key.rkey}:
            raise InvalidFieldError("rkey", f"must be {self.kind.only_key}")
        record = PlainRecord(self.kind, key, {**self.kind.fields_of(body), "cid": remote.cid or ""})
        require_writable(self.kind, record.adopted(1, SAMPLE_TIME), body, {})
        return record

    @asynccontextmanager
    async def brought(self, host: str, record: PlainRecord) -> AsyncGenerator[Adoptee]:  # noqa: ARG002
        yield Adoptee(record.made)


@dataclass(frozen=True)
class ReactionIntake(PlainIntake):
    """A track that is not here is named by its record alone. Of likes, it takes one for each track."""

    database: Database

    def read(self, key: RecordKey, remote: Remote) -> PlainRecord:
        read = super().read(key, remote)
        with self.database.read() as connection:
            found = subject_with_record(connection, RecordKey.of_uri(read.fields["track_uri"]))
        track_id = found.id if found is not None and found.kind == Track.TOPIC else None
        return PlainRecord(read.kind, key, {**read.fields, "track_id": track_id})

    @asynccontextmanager
    async def brought(self, host: str, record: PlainRecord) -> AsyncGenerator[Adoptee]:  # noqa: ARG002
        def require_first(unit: UnitOfWork) -> None:
            track_id = record.fields["track_id"]
            if self.kind.aggregate is not Like or track_id is None:
                return
            if number_of(unit.connection, Like.TOPIC, record.key.did, track_id) > 1:
                raise InvalidFieldError(
                    "subject", "must be a track that no other record of the account likes"
                )

        yield Adoptee(record.made, require_first)
