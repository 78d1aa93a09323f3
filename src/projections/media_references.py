"""`media_references`: which track names which bytes, and since when it no longer does. The sweep asks here.

Who has left may not come back for their bytes: those are let go of without a grace period.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Index, Table, Text, exists, or_, select, update

from aggregates.account import Account
from aggregates.track import Track, media_cids
from eventstore.change import Change
from eventstore.projection import Into, ProjectedTable
from eventstore.schema import Position, UtcDateTime, metadata
from projections.fingerprint import fingerprint
from projections.rows import write_rows
from projections.track_changes import track_changes

VERSION: Final = 2
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
CIDS_A_QUERY: Final = 500

media_references = Table(
    "media_references",
    metadata,
    Column("track_id", Position, primary_key=True, autoincrement=False),
    Column("cid", Text, primary_key=True),
    Column("did", Text, nullable=False),
    Column("released_at", UtcDateTime),
    Index("ix_media_references_cid", "cid"),
)


class MediaReferences:
    """Keeps `media_references`."""

    name = "media_references"
    tables = (ProjectedTable(media_references),)
    fingerprint = fingerprint(VERSION, media_references)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        """Note what a change names anew, and what it lets go of."""
        for did, some in _up_to_departures(changes):
            self._note(connection, some, into)
            if did is not None:
                _let_go(connection, into(media_references), did)

    def _note(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        latest: dict[tuple[int, str], dict[str, Any]] = {}
        for change in track_changes(changes):
            before, after = _live_cids(change.before), _live_cids(change.after)
            for cid in before ^ after:
                latest[change.after.track_id, cid] = {
                    "track_id": change.after.track_id,
                    "cid": cid,
                    "did": change.recorded.did,
                    "released_at": None if cid in after else change.recorded.recorded_at,
                }
        write_rows(connection, into(media_references), list(latest.values()))


def _up_to_departures(changes: Sequence[Change]) -> Iterator[tuple[str | None, Sequence[Change]]]:
    """Yield the changes in order, up to each account that left, and the rest."""
    some: list[Change] = []
    for change in changes:
        if isinstance(change.event, Account.Left):
            yield change.did, some
            some = []
        else:
            some.append(change)
    yield None, some


def _let_go(connection: Connection, table: Table, did: str) -> None:
    released = (table.c.did == did, table.c.released_at.is_not(None))
    connection.execute(update(table).where(*released).values(released_at=LONG_AGO))


def cids_of(connection: Connection, did: str) -> Sequence[str]:
    """Return all bytes that tracks of this account name, or once did."""
    column = media_references.c
    return connection.scalars(
        select(column.cid).where(column.did == did).distinct().order_by(column.cid)
    ).all()


def named(connection: Connection, cids: Collection[str], released_after: datetime) -> set[str]:
    """Find those of the cids that a live track names, or that one named until after the given moment."""
    wanted, found = list(cids), set[str]()
    kept = or_(media_references.c.released_at.is_(None), media_references.c.released_at > released_after)
    for start in range(0, len(wanted), CIDS_A_QUERY):
        some = media_references.c.cid.in_(wanted[start : start + CIDS_A_QUERY])
        found.update(connection.scalars(select(media_references.c.cid).where(some, kept)))
    return found


def was_named_by(connection: Connection, did: str, cid: str) -> bool:
    """Whether a track of this account names the bytes, or once did."""
    column = media_references.c
    return bool(connection.scalar(select(exists().where(column.did == did, column.cid == cid))))


def _live_cids(track: Track | None) -> frozenset[str]:
    return frozenset(media_cids(track)) if track is not None and track.deleted_at is None else frozenset()
