"""Records that change namespace: what the new record takes over, and when the former one may be deleted."""

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


def is_taken(connection: Connection, key: RecordKey, *, excluding: int | None = None) -> bool:
    """Whether a track has, or had, a record under the key; the track `excluding` does not count."""
    this = (target.did == key.did, target.collection == key.collection, target.rkey == key.rkey)
    return bool(connection.scalar(select(exists().where(*this, target.track_id.is_distinct_from(excluding)))))


def track_with_record(connection: Connection, key: RecordKey) -> int | None:
    """Return the track that has, or had, a record under the key."""
    this = (target.did == key.did, target.collection == key.collection, target.rkey == key.rkey)
    return connection.scalar(select(target.track_id).where(*this))


def carry_over(connection: Connection, old: RecordKey, new: RecordKey) -> None:
    """Copy the acknowledged generation to the new target, so that delivered events stay delivered.

    Call it after the event.
    """
    this = (target.did == old.did, target.collection == old.collection, target.rkey == old.rkey)
    acked = connection.execute(select(target.acked_gen).where(*this)).scalar_one()
    connection.execute(CHANGE_TARGET, {**of_target(new), "acked_gen": acked})


def clear_former(connection: Connection, track_id: int, upto: int) -> None:
    """Allow the former records to be deleted: the PDS has confirmed the new one as of this generation."""
    connection.execute(_CLEAR, {"of_track": track_id, "upto": upto})


def fields_left_behind(connection: Connection, track_id: int) -> Record:
    """Return the fields of the former records that still exist: those of other clients are copied to the new one."""
    bodies = connection.scalars(_LEFT, {"of_track": track_id})
    return {name: value for body in bodies for name, value in decode(body).items()}
