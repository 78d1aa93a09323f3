"""Says of outsiders' likes and comments what their PDSes do: no event, and only what names a track here."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from application.comments import MAX_COMMENTS
from application.subjects import utc_text
from eventstore.sql.database import Database
from identity.accounts.accounts import accounts_of
from outbox.firehose.cursors import is_followed, may_be_followed
from outbox.pds.client import RecordKey, Remote
from outbox.reactions.record import ReactionRecords
from outbox.record.kind import RecordKinds
from projections import outsiders
from replay.adoption.plain import ReactionIntake

logger = logging.getLogger("mastertape.outbox")

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
"""A record may claim a time at which it was still the year 0 in UTC."""
MAX_AGE: Final = timedelta(days=7)
"""Of what is known of a record: then it is read again, since a stream may have left out that it is gone."""
MAX_NEW_OF_A_HOST: Final = 1000
"""Reactions at one track on one day: a host may invent as many accounts as it likes, and each reaction is a row."""


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
            if not may_be_followed(connection, host):  # since this was read
                return
            now = self._database.now(connection)
            claimed = max(datetime.fromisoformat(row["created_at"]), EARLIEST)
            known = {"created_at": utc_text(min(claimed, now)), "read_at": now, "shown_at": now}
            limits = {"max_comments": MAX_COMMENTS, "max_of_host": MAX_NEW_OF_A_HOST}
            is_last = outsiders.put(connection, {**row, **known}, **limits)
        if is_last:
            logger.warning("outsiders_limited", extra={"host": host, "track_id": row["track_id"]})

    def remove(self, host: str, did: str, keys: Collection[RecordKey]) -> None:
        places = outsiders.these([(key.collection, key.rkey) for key in keys])
        with self._database.write() as connection:
            outsiders.remove(connection, outsiders.records_at(host, did) & places)

    def move(self, host: str, did: str, to: str | None) -> None:
        """Leave what the host has shown of an account to its new host, if a stream of that is followed too; else remove it."""
        with self._database.write() as connection:
            which = outsiders.records_at(host, did)
            if to is not None and is_followed(connection, to):
                outsiders.reverify(connection, which, host=to)
            else:
                outsiders.remove(connection, which)

    def reverify(self, host: str, did: str | None = None) -> None:
        with self._database.write() as connection:
            outsiders.reverify(connection, outsiders.records_at(host, did))

    def next_to_read(self, host: str) -> RecordKey | None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            found = outsiders.next_to_read(connection, host, now - MAX_AGE, now)
        return RecordKey(found.author, found.collection, found.rkey) if found is not None else None

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
