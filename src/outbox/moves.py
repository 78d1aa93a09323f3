"""A record that moves to another collection: what goes along, and when the old one may go."""

from typing import Final

from sqlalchemy import Connection, bindparam, exists, select, update

from outbox.dag_cbor import Record, decode, encode
from outbox.pds import RecordKey
from outbox.record import merged
from outbox.tables import mirror_target
from outbox.targets import CHANGE_TARGET, of_target

target: Final = mirror_target.c
_CLEAR: Final = (
    update(mirror_target)
    .where(target.track_id == bindparam("of_track"), target.former)
    .values(cleared_gen=bindparam("upto"))
)


def is_taken(connection: Connection, key: RecordKey, *, but: int | None = None) -> bool:
    """Whether a track, another than this, has or has left a record under the key."""
    this = (target.did == key.did, target.collection == key.collection, target.rkey == key.rkey)
    return bool(connection.scalar(select(exists().where(*this, target.track_id.is_distinct_from(but)))))


def carry_over(connection: Connection, old: RecordKey, new: RecordKey) -> None:
    """Let the new target begin with what is known of the old one; to be called after the event.

    That are the fields of other clients, and how far the PDS has confirmed the track: no event that reached it waits anew.
    """
    this = (target.did == old.did, target.collection == old.collection, target.rkey == old.rkey)
    known = connection.execute(select(target.acked_gen, target.observed_body).where(*this)).one()
    carried = {"acked_gen": known.acked_gen, "observed_body": known.observed_body}
    connection.execute(CHANGE_TARGET, {**of_target(new), **carried})


def clear_former(connection: Connection, track_id: int, upto: int) -> None:
    """The PDS has confirmed the record as of this generation, so that what it has left behind may go."""
    connection.execute(_CLEAR, {"of_track": track_id, "upto": upto})


def keep_fields(connection: Connection, track_id: int, theirs: Record) -> None:
    """Have the fields that others wrote into what is to go written into the record that stays."""
    current = select(mirror_target).where(target.track_id == track_id, ~target.former)
    row = connection.execute(current).one()
    observed = decode(row.observed_body) if row.observed_body is not None else {}
    kept = {**observed, **merged({}, theirs)}
    key = RecordKey(row.did, row.collection, row.rkey)
    connection.execute(CHANGE_TARGET, {**of_target(key), "observed_body": encode(kept)})
