"""Records on a PDS that are newer than a restored log: nothing is written over them before their owner decides."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select, update

from aggregates.published import Subject
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.due import is_open
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import PAST, mirror_lane, mirror_target, pds_host
from outbox.mirror.targets import CHANGE_TARGET, DELETE, IS_TARGET, insert_into, of_target
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import Record, encode
from outbox.record.kind import RecordKinds
from outbox.relay.delivery_task import stream_of
from outbox.relay.journal import record_adopted
from outbox.relay.result import CLEAN, encoded

NEWER: Final = MirrorReason.NEWER_ON_PDS

target: Final = mirror_target.c


def keep_newer(
    unit: UnitOfWork, key: RecordKey, cid: str | None, record: Record | None, kinds: RecordKinds
) -> None:
    """Acknowledge the record if it is what the log says; otherwise hold it as a conflict.

    Of one that was not read, a delete alone is held, since a write would be refused by its swap. The caller holds the
    lane's lock. A detached target is left alone, since nothing is written to it anyway.
    """
    held = select(mirror_target, target.subject_id.label("subject_id"), is_open().label("is_open"))
    row = unit.connection.execute(held.where(IS_TARGET), of_target(key)).one_or_none()
    if row is None or row.detached:
        return
    if row.desired_op == DELETE:
        if row.is_open or not row.former:
            _set(
                unit,
                key,
                state=TargetState.REJECTED,
                reason=NEWER,
                last_error=NEWER,
                failed_gen=row.desired_gen,
                # a delete that was confirmed then is no longer true: the record is back
                acked_gen=min(row.acked_gen, row.desired_gen - 1),
            )
        return
    if cid is None or record is None:
        return
    kind = kinds[row.kind]
    subject = unit.load(kind.aggregate, stream_of(row))
    kind.take_back(subject, record, at=unit.now)
    is_same = kind.own_part(kind.record_of(subject, 0)) == kind.own_part(record)
    if is_same:
        subject.record_foreign_edit_withdrawn(subject.foreign_edit, observed_at=unit.now)
    else:
        subject.record_foreign_edit(cid, observed_at=unit.now)
    unit.save(subject)
    gen = unit.connection.execute(select(target.desired_gen).where(IS_TARGET), of_target(key)).scalar_one()
    if is_same:
        observed = {"observed_cid": cid, "observed_body": encoded(record), "ever_sent": True}
        _set(unit, key, **CLEAN, **observed, acked_gen=gen, acked_at=unit.now)
        record_adopted(unit.connection, key, gen, cid, unit.now)
    else:
        theirs = {"conflict_cid": cid, "conflict_body": encoded(record)}
        _set(
            unit,
            key,
            state=TargetState.HELD,
            reason=MirrorReason.FOREIGN_EDIT,
            failed_gen=gen,
            not_before=PAST,
            **theirs,
        )


def _set(unit: UnitOfWork, key: RecordKey, **values: Any) -> None:
    unit.connection.execute(CHANGE_TARGET, {**of_target(key), **values})


def subjects_of_records(connection: Connection, did: str) -> dict[tuple[str, str], Subject]:
    """Return the subject of each record of an account, by collection and key, former copies included."""
    query = select(target.collection, target.rkey, target.kind, target.subject_id).where(target.did == did)
    return {(collection, rkey): Subject(*of) for collection, rkey, *of in connection.execute(query)}


def acknowledge_as_found(
    connection: Connection, key: RecordKey, gen: int, record: tuple[str, Record], now: datetime
) -> None:
    """Acknowledge `record`, a CID and a body, as delivered: nothing is written before the subject changes."""
    cid, body = record
    found = {"acked_gen": gen, "acked_at": now, "observed_cid": cid, "observed_body": encode(body)}
    connection.execute(CHANGE_TARGET, {**of_target(key), **found, "ever_sent": True})
    record_adopted(connection, key, gen, cid, now)


def set_lane_host(connection: Connection, did: str, host: str) -> None:
    """Set the host of a lane whose account never signed in, so that its records can be verified."""
    known = insert_into(connection, pds_host).values(host=host)
    connection.execute(known.on_conflict_do_nothing())
    without_host = (mirror_lane.c.did == did, mirror_lane.c.host == "")
    connection.execute(update(mirror_lane).where(*without_host).values(host=host))
