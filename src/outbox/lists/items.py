"""`list_item`: which live list refers to which record, to find the lists of a record that has changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.list_events import ItemsTakenOver
from aggregates.track_list import TrackList
from aggregates.values import ListType
from eventstore.change import Change, Envelope, Via, changes_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.projection import Into, ProjectedTable, write_rows
from eventstore.schema import Position, metadata
from eventstore.streams.buckets import account_columns, bucket_of

list_item: Final = sa.Table(
    "list_item",
    metadata,
    sa.Column("list_id", Position, primary_key=True, autoincrement=False),
    sa.Column("uri", sa.Text, primary_key=True),
    *account_columns(),
    # null where its record is not written, or a record that was entered twice has two CIDs
    sa.Column("cid", sa.Text),
    # whether the list has a record, where the CID is to be that of the newest one
    sa.Column("written", sa.Boolean, nullable=False),
    sa.Index("ix_list_item_uri", "uri"),
)


ALBUM_TEXTS: Final = "album_texts"
"""The kind of the jobs that bring albums and the texts of their tracks together (application/lists/texts.py)."""


def request_album_texts(connection: sa.Connection, did: str, now: datetime) -> None:
    by_itself = Envelope(did, Via.JOB, ALBUM_TEXTS)
    queue.request(connection, [Wanted(ALBUM_TEXTS, did, did, envelope=by_itself)], now, hurry=True)


class ListItems:
    """Which records each live list refers to; what another client changed of an album, the texts of its tracks follow."""

    name: Final = "list_item"
    fingerprint: Final = "list_item-1"
    tables: Final = (ProjectedTable(list_item),)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        table, earlier, latest = into(list_item), dict[int, _Rows](), dict[int, TrackList]()
        for _, before, after in changes_of(TrackList, changes):
            earlier.setdefault(after.list_id, _rows_of(before))
            latest[after.list_id] = after
        rows: list[Mapping[str, Any]] = []
        for list_id, made in latest.items():
            was, now = earlier[list_id], _rows_of(made)
            if gone := sorted(was.keys() - now.keys()):
                of_list = (table.c.bucket == bucket_of(made.did), table.c.list_id == list_id)
                connection.execute(sa.delete(table).where(*of_list, table.c.uri.in_(gone)))
            rows += [row for uri, row in now.items() if was.get(uri) != row]
        write_rows(connection, table, rows)
        if table is list_item:
            for did in {each.did for each in changes if _is_taken_over(each)}:
                request_album_texts(connection, did, changes[-1].recorded_at)


def _is_taken_over(change: Change) -> bool:
    made = change.after
    is_album = isinstance(made, TrackList) and made.list_type == ListType.ALBUM
    return is_album and isinstance(change.event, ItemsTakenOver)


_Rows = dict[str, dict[str, Any]]


def _rows_of(made: TrackList | None) -> _Rows:
    rows: _Rows = {}
    if made is None or made.deleted_at is not None:
        return rows
    of_list = {"list_id": made.list_id, "did": made.did, "written": made.wants_record}
    for item in made.items:
        known = rows.setdefault(item.uri, {**of_list, "uri": item.uri, "cid": item.cid})
        if known["cid"] != item.cid:
            known["cid"] = None
    return rows
