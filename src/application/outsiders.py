"""Says of outsiders' likes and comments what their PDSes do: no event, and only what names a track here."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from application.comments import MAX_COMMENTS
from application.subjects import utc_text
from eventstore.database import Database
from identity.accounts.accounts import accounts_of
from outbox.pds.client import RecordKey, Remote
from outbox.reactions.record import ReactionRecords
from outbox.record.kind import RecordKinds
from projections import outsiders
from replay.adoption.plain import ReactionIntake

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
"""A record may claim a time at which it was still the year 0 in UTC."""


class OutsiderReactions:
    def __init__(self, database: Database, kinds: RecordKinds) -> None:
        self._database: Final = database
        reactions = (kind for kind in kinds if isinstance(kind, ReactionRecords))
        self._intakes: Final = {kind.collection: ReactionIntake(kind, database) for kind in reactions}
        self.collections: Final = self._intakes.keys()

    def put(self, host: str, key: RecordKey, remote: Remote) -> None:
        """Have its track show what the record says, or no longer: if it is gone, invalid, about no track here or of an account here."""
        if (row := self._read(host, key, remote)) is None:
            self.remove(host, key.did, [key])
            return
        with self._database.write() as connection:
            claimed = max(datetime.fromisoformat(row["created_at"]), EARLIEST)
            created_at = utc_text(min(claimed, self._database.now(connection)))
            outsiders.put(connection, {**row, "created_at": created_at}, MAX_COMMENTS)

    def remove(self, host: str, did: str, keys: Collection[RecordKey] | None) -> None:
        places = None if keys is None else [(key.collection, key.rkey) for key in keys]
        with self._database.write() as connection:
            outsiders.remove(connection, outsiders.records_of(did, host, places))

    def _read(self, host: str, key: RecordKey, remote: Remote) -> dict[str, Any] | None:
        intake = self._intakes[key.collection]
        try:
            fields = intake.read(key, remote).fields if remote.cid is not None else {}
        except InvalidFieldError:
            return None
        if fields.get("track_id") is None:
            return None
        owner = RecordKey.of_uri(fields["track_uri"]).did
        with self._database.read() as connection:
            here = accounts_of(connection, [owner, key.did])
        if owner not in here or key.did in here:
            return None
        said = {name: fields.get(name) for name in ("track_id", "created_at", "text", "timestamp_ms")}
        where = {"author": key.did, "host": host, "collection": key.collection, "rkey": key.rkey}
        return {"did": owner, "kind": intake.kind.name, **where, **said}
