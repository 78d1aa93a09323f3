"""Gives adopted tracks the ids that they had at the service they come from.

1. read: the file
2. reserve: from then on our own tracks get larger ids; refuse ids that are taken
3. the records are adopted
4. assign: each track that the file names gets its id
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from aggregates.tracks.track import Track
from eventstore.streams.ids import issue_only_above, peer_track
from eventstore.untrusted import whole_number
from outbox.conflicts.conflicts import subjects_of_records
from projections.tracks.table import tracks
from replay.errors import PeerIdsError

ID, URI = COLUMNS = ("id", "atproto_record_uri")
MAX_PEER_ID: Final = 2**31
MAX_NAMED_IDS: Final = 20

Key = tuple[str, str]
"""Collection and key of a record."""


@dataclass(frozen=True)
class PeerIds:
    """The largest id of a file, and the ids of one account's records in it."""

    did: str
    largest: int
    of_records: Mapping[Key, int]


def read_peer_ids(lines: Iterable[str], did: str) -> PeerIds:
    """Read a CSV file with a header, one track a line; other columns, and tracks of other accounts, are not used.

    Raises PeerIdsError, naming the line.
    """
    table = csv.DictReader(lines)
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
        raise PeerIdsError(f"the first line must name the columns {' and '.join(missing)}")
    of_records: dict[Key, int] = {}
    seen: set[int] = set()
    for number, row in enumerate(table, 2):
        peer_id = whole_number(row[ID] or "")
        if peer_id is None or not 0 < peer_id <= MAX_PEER_ID:
            reason = f"line {number}: an id is a number from 1 to {MAX_PEER_ID}, not {row[ID]!r}"
            raise PeerIdsError(reason)
        if peer_id in seen:
            raise PeerIdsError(f"line {number}: the id {peer_id} is there twice")
        seen.add(peer_id)
        key = _key(row[URI] or "", did, number)
        if key is not None and of_records.setdefault(key, peer_id) != peer_id:
            raise PeerIdsError(f"line {number}: the record has two ids, {of_records[key]} and {peer_id}")
    return PeerIds(did, max(seen, default=0), of_records)


def reserve(connection: sa.Connection, ids: PeerIds) -> None:
    """Issue no id of the file to a new track, and refuse those that are taken; the caller holds the log's lock.

    Raises PeerIdsError. A refusal leaves the ids unused, which costs nothing.
    """
    if ids.largest:
        issue_only_above(connection, ids.largest)
    require_free(connection, ids)


def require_free(connection: sa.Connection, ids: PeerIds) -> None:
    """Raise PeerIdsError, naming them, for ids that another track has, as its own or as a peer's, deleted tracks included."""
    of_tracks = _of_tracks(connection, ids)
    wanted = set(ids.of_records.values())
    largest = max(wanted, default=0)
    own_ids = connection.scalars(sa.select(tracks.c.track_id).where(tracks.c.track_id <= largest))
    # a track's own id, unless it is that track which wants it
    taken = {each for each in own_ids if each in wanted and of_tracks.get(each) != each}
    is_near = sa.or_(peer_track.c.did == ids.did, peer_track.c.peer_id <= largest)
    for row in connection.execute(sa.select(peer_track).where(is_near)):
        wants = of_tracks.get(row.track_id, row.peer_id if row.peer_id not in wanted else None)
        if wants is None:  # another track was given the id
            taken.add(row.peer_id)
        elif wants != row.peer_id:  # the track was given another id
            taken.add(wants)
    if taken:
        named = ", ".join(map(str, sorted(taken)[:MAX_NAMED_IDS]))
        more = f" and {len(taken) - MAX_NAMED_IDS} more" if len(taken) > MAX_NAMED_IDS else ""
        raise PeerIdsError(f"other tracks here have these ids, or their tracks have others: {named}{more}")


def assign(connection: sa.Connection, ids: PeerIds) -> dict[str, int]:
    """Give each track that is here its id; the caller holds the log's lock. Raises PeerIdsError as `require_free`.

    Returns how many `tracks` have an id of the file now, and how many of its records are `missing` here.
    """
    require_free(connection, ids)
    of_tracks = _of_tracks(connection, ids)
    known = set(connection.scalars(sa.select(peer_track.c.track_id).where(peer_track.c.did == ids.did)))
    new = [
        {"peer_id": peer_id, "did": ids.did, "track_id": track_id}
        for track_id, peer_id in of_tracks.items()
        if track_id not in known
    ]
    if new:
        connection.execute(sa.insert(peer_track), new)
    return {"tracks": len(of_tracks), "missing": len(ids.of_records) - len(of_tracks)}


def _of_tracks(connection: sa.Connection, ids: PeerIds) -> dict[int, int]:
    """Return the file's ids by track; raises PeerIdsError for a track that has two, by its record's former address."""
    subjects = subjects_of_records(connection, ids.did).items()
    known = {key: subject.id for key, subject in subjects if subject.kind == Track.TOPIC}
    found: dict[int, int] = {}
    for key, peer_id in ids.of_records.items():
        if key in known and found.setdefault(known[key], peer_id) != peer_id:
            raise PeerIdsError(f"one track has two ids, {found[known[key]]} and {peer_id}")
    return found


def _key(uri: str, did: str, number: int) -> Key | None:
    """Return the key of a record of the account; None for one of another account, or a track without a record."""
    match uri.split("/"):
        case [""]:
            return None
        case ["at:", "", authority, collection, rkey] if collection and rkey:
            return (collection, rkey) if authority == did else None
    raise PeerIdsError(f"line {number}: not the AT-URI of a record: {uri!r}")
