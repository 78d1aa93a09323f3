"""A record that moves to another collection: what goes along, and when the old one may go."""

from typing import Final

from sqlalchemy import Connection, bindparam, exists, select, update

from outbox.mirror.tables import mirror_target
from outbox.mirror.targets import CHANGE_TARGET, of_target
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import Record, decode

target: Final = mirror_target.c
_CLEAR: Final = (
    update(mirror_target)
    .where(target.track_id == bindparam("of_track"), target.former)
    .values(cleared_gen=bindparam("upto"))
)
_LEFT: Final = select(target.observed_body).where(
    target.track_id == bindparam("of_track"), target.former, target.observed_body.is_not(None)
)


def is_taken(connection: Connection, key: RecordKey, *, but: int | None = None) -> bool:
    """Whether a track, another than this, has or has left a record under the key."""
    this = (target.did == key.did, target.collection == key.collection, target.rkey == key.rkey)
    return bool(connection.scalar(select(exists().where(*this, target.track_id.is_distinct_from(but)))))


def carry_over(connection: Connection, old: RecordKey, new: RecordKey) -> None:
    """Let the new target begin with how far the PDS has confirmed the track; to be called after the event.

    So no event that reached it waits anew.
    """
    this = (target.did == old.did, target.collection == old.collection, target.rkey == old.rkey)
    acked = connection.execute(select(target.acked_gen).where(*this)).scalar_one()
    connection.execute(CHANGE_TARGET, {**of_target(new), "acked_gen": acked})


def clear_former(connection: Connection, track_id: int, upto: int) -> None:
    """The PDS has confirmed the record as of this generation, so that what it has left behind may go."""
    connection.execute(_CLEAR, {"of_track": track_id, "upto": upto})


def left_behind(connection: Connection, track_id: int) -> Record:
    """Return the record that is still in the old place: fields of other clients are carried along as long as it is there."""
    bodies = connection.scalars(_LEFT, {"of_track": track_id})
    return {name: value for body in bodies for name, value in decode(body).items()}
