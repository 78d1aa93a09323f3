"""`list_item`: which live list refers to which record, and `list_follower`: which lists of other accounts follow a record.

The first belongs to the list's account, and finds its lists of a record that has changed. The second belongs to the record's:
workers carry it there, since no unit of work writes rows of two accounts.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.accounts.account import Account
from aggregates.lists.track_list import TrackList
from eventstore.change import Change, Envelope, Via, changes_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.projection import CarriedTable, Into, ProjectedTable, fingerprint, refill, write_rows
from eventstore.sql.schema import Position, metadata, stored_event
from eventstore.streams.buckets import account_columns, bucket_of
from outbox.pds.client import RecordKey

VERSION: Final = 1

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
    sa.Index("ix_list_item_did_uri", "did", "uri"),
)
list_follower: Final = sa.Table(
    "list_follower",
    metadata,
    sa.Column("uri", sa.Text, primary_key=True),
    sa.Column("list_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("author", sa.Text, nullable=False),  # the list's account
    sa.Column("cid", sa.Text),  # what the list refers to, or its account was told to
    sa.Index("ix_list_follower_did_uri", "did", "uri", "list_id"),
)
_item: Final = list_item.c
_event: Final = stored_event.c
_FOLLOWED: Final = sa.select(_item.uri, _item.list_id, _item.did.label("author"), _item.cid).where(
    _item.written
)
MAX_ROWS: Final = 500

ALBUM_TEXTS: Final = "album_texts"
"""The kind of the jobs that bring albums and the texts of their tracks together (application/lists/texts.py)."""


def request_album_texts(
    connection: sa.Connection, did: str, now: datetime, list_id: int | None = None
) -> None:
    """Request the job of an account, or of one of its albums."""
    subject, by_itself = str(list_id or did), Envelope(did, Via.JOB, ALBUM_TEXTS)
    queue.request(connection, [Wanted(ALBUM_TEXTS, subject, did, envelope=by_itself)], now, hurry=True)


class ListItems:
    """Which records each live list refers to."""

    name: Final = "list_item"
    fingerprint: Final = fingerprint(VERSION, list_item)
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

    @property
    def carried(self) -> Sequence[CarriedTable]:
        return FOLLOWERS

    @staticmethod
    def carry_all(connection: sa.Connection) -> None:
        refill(connection, FOLLOWERS)


def _fill_followers(connection: sa.Connection, into: sa.Table) -> None:
    """Write the followers of all records; those of an account that has left went with it, and only later ones are there."""
    of, has_left = list_follower.c, sa.select(_event.did).where(_event.topic == Account.Left.TOPIC)
    left = {*connection.scalars(has_left)}
    later = (
        {*connection.execute(sa.select(of.uri, of.list_id).where(of.did.in_(has_left))).all()} if left else ()
    )
    for rows in connection.execute(_FOLLOWED.execution_options(yield_per=MAX_ROWS)).partitions():
        followers = [_follower(row) for row in rows]
        others = [
            {name: value for name, value in each.items() if name in into.c}
            for each in followers
            if each["did"] != each["author"]
            and (each["did"] not in left or (each["uri"], each["list_id"]) in later)
        ]
        write_rows(connection, into, others)


# no `cid`: it follows what the list's account was told
_WHO_FOLLOWS: Final = ProjectedTable(list_follower, derived=("did", "author"))
FOLLOWERS: Final = (CarriedTable(_WHO_FOLLOWS, _fill_followers, (TrackList.TOPIC + "/{list_id}").format_map),)
"""Which lists of others follow an account's records."""


_Rows = dict[str, dict[str, Any]]


def _rows_of(made: TrackList | None) -> _Rows:
    rows: _Rows = {}
    if made is None or made.deleted_at is not None:
        return rows
    of_list, wants_record = {"list_id": made.list_id, "did": made.did}, made.wants_record
    for item in made.items:
        is_followed = wants_record and made.follows(item)
        row = {**of_list, "uri": item.uri, "cid": item.cid, "written": is_followed}
        known = rows.setdefault(item.uri, row)
        if known["cid"] != item.cid:
            known["cid"] = None
    return rows


def set_followers(
    connection: sa.Connection, owner: str, uris: Collection[str], *, list_id: int, author: str
) -> None:
    """Have a list be a follower of those of these records of an owner that it is to follow, and of no others of these."""
    these = _FOLLOWED.where(_item.did == author, _item.list_id == list_id, _item.uri.in_(uris))
    rows = [_follower(row) for row in connection.execute(these)]
    of, stays = list_follower.c, [row["uri"] for row in rows]
    left = (of.did == owner, of.list_id == list_id, of.uri.in_({*uris}.difference(stays)))
    connection.execute(sa.delete(list_follower).where(*left))
    write_rows(connection, list_follower, rows)


def _follower(row: Any) -> dict[str, Any]:
    return {**row._mapping, "did": RecordKey.of_uri(row.uri).did}  # noqa: SLF001 - SQLAlchemy's way to a row's columns
