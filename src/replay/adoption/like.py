"""Makes a like of a record, which brings no bytes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from aggregates.errors import InvalidFieldError
from aggregates.like import Like
from aggregates.track import Track
from eventstore.database import Database
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.namespace_moves import subject_with_record
from outbox.pds.client import RecordKey, Remote
from outbox.record.kind import RecordKind
from projections.likes import is_liked_twice
from replay.adoption.adopt import Adoptee
from replay.adoption.record import SAMPLE_TIME, proven_body, require_writable


@dataclass(frozen=True)
class AdoptableLike:
    """A record as the fields of its like."""

    key: RecordKey
    cid: str
    named: Mapping[str, str]
    track_id: int | None = None

    def adopted(self, like_id: int, at: datetime) -> Like:
        where = {"did": self.key.did, "collection": self.key.collection, "rkey": self.key.rkey}
        named = {**self.named, "cid": self.cid, "track_id": self.track_id}
        return Like.adopt(at=at, like_id=like_id, **named, **where)


@dataclass(frozen=True)
class LikeIntake:
    """Adopts likes, of one record for each track; a track that is not here is named by its record alone."""

    kind: RecordKind
    database: Database

    def read(self, key: RecordKey, remote: Remote) -> AdoptableLike:
        body = proven_body(key, remote)
        match body:
            case {"subject": {"uri": str(uri), "cid": str(cid)}, "createdAt": str(created_at)}:
                named = {"track_uri": uri, "track_cid": cid, "created_at": created_at}
            case _:
                raise InvalidFieldError("subject", "must be a record, with `createdAt` beside it")
        record = AdoptableLike(key, remote.cid or "", named)
        require_writable(self.kind, record.adopted(1, SAMPLE_TIME), body, {})
        with self.database.read() as connection:
            found = subject_with_record(connection, RecordKey(*uri.removeprefix("at://").split("/")))
        is_here = found is not None and found.kind == Track.TOPIC
        return replace(record, track_id=found.id if found is not None and is_here else None)

    @asynccontextmanager
    async def brought(self, host: str, record: AdoptableLike) -> AsyncGenerator[Adoptee]:  # noqa: ARG002
        def require_first(unit: UnitOfWork) -> None:
            if record.track_id is not None and is_liked_twice(
                unit.connection, record.key.did, record.track_id
            ):
                raise InvalidFieldError(
                    "subject", "must be a track that no other record of the account likes"
                )

        def like(unit: UnitOfWork) -> Like:
            return record.adopted(next_subject_id(unit.connection, record.key.did), unit.now)

        yield Adoptee(like, require_first)
