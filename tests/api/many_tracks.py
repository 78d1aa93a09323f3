"""Very many tracks of several artists in SQLite: copies of one track, made there, with all that readers find beside a track."""
# ruff: noqa: S608 - all texts are this file's own

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from eventstore.projection import refill
from eventstore.sql.database import Database
from eventstore.streams.buckets import BUCKETS, bucket_of
from outbox.mirror.tables import mirror_target
from projections.history import history
from projections.lists import track_list
from projections.reactions import AT_TRACKS, likes
from projections.tracks.table import track_tags, tracks

FIRST = 10**4
"""A number above all that the service has issued."""
TAGS_OF_A_TRACK = 3
TAGS = 10
COMMON_TAG = "tag 1"
COMMON_WORD = "every"
DAYS = 40
"""Over which the likes are spread."""
LISTS = 40


def fill(
    database: Database, track_id: int, list_ids: Sequence[int], dids: Sequence[str], numbers: range
) -> None:
    """Copy the track for each number, in turn to each of the artists; it has a like. The first numbers get lists, too."""
    now = datetime.now(UTC)
    with database.write() as connection:
        for place, did in enumerate(dids):
            copies = _Copies(connection, did, numbers[place :: len(dids)])
            of_track, its_id = f"track_id = {track_id}", f"({FIRST} + x) * {BUCKETS} + {bucket_of(did)}"
            tags = [f"'tag ' || ((x / 10 + {number} * 3) % {TAGS})" for number in range(TAGS_OF_A_TRACK)]
            texts = {"title": "'Song ' || x", "search": f"'song ' || x || ' {COMMON_WORD}'"}
            place_of_record = {"track_id": its_id, "rkey": "'r' || x"}
            stored = {"audio_cid": "'bafk' || x", "tags": f"json_array({', '.join(tags)})"}
            copies.insert(tracks, of_track, **place_of_record, **texts, **stored)
            copies.insert(mirror_target, f"{of_track} and kind = 'track'", **place_of_record)
            copies.insert(history, f"{of_track} and type = 'Created'", track_id=its_id, position=its_id)
            for tag in tags:
                copies.insert(track_tags, of_track, track_id=its_id, tag=tag)
            days = " ".join(f"when {age} then '{(now - timedelta(age)).isoformat()}'" for age in range(DAYS))
            liked = {"track_id": its_id, "like_id": its_id, "created_at": f"case x % {DAYS} {days} end"}
            copies.insert(likes, of_track, **liked, did="t.did", bucket="t.bucket", rkey="'r' || x")
            for list_id in list_ids:
                key = {"list_id": f"{its_id} + {list_id}", "rkey": f"'l{list_id}' || x"}
                named = dict.fromkeys(("name", "first_name", "slug"), "'list-' || x")
                copies.insert(track_list, f"list_id = {list_id} and x < {LISTS}", **key, **named)
        refill(connection, AT_TRACKS)


class _Copies:
    def __init__(self, connection: sa.Connection, did: str, numbers: range) -> None:
        self._connection = connection
        self._owner = {"did": f"'{did}'", "bucket": f"{bucket_of(did)}"}
        self._numbers = (
            f"with recursive n(x) as (select {numbers.start} union all "
            f"select x + {numbers.step} from n where x + {numbers.step} < {numbers.stop})"
        )

    def insert(self, table: sa.Table, which: str, **values: str) -> None:
        """Insert copies of the row that this SQL selects, with SQL of other values, in which `x` is the number."""
        names = [column.name for column in table.columns]
        values = {**self._owner, **values}
        chosen = ", ".join(values.get(name, f"t.{name}") for name in names)
        copied = f"select {chosen} from n, {table.name} t where {which}"
        into = f"insert into {table.name} ({', '.join(names)})"
        self._connection.exec_driver_sql(f"{into} {self._numbers} {copied}")
