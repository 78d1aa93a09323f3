"""Records on a PDS that are newer than a restored log: nothing is written over them before their owner decides."""

from typing import Any, Final

from sqlalchemy import select

from aggregates.track import Track
from aggregates.values import GATE_TYPES, BlobRef, SupportGate
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.due import is_open
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import PAST, mirror_target
from outbox.mirror.targets import CHANGE_TARGET, DELETE, of_target
from outbox.pds.client import RecordKey
from outbox.record.blob_reference import blob_reference
from outbox.record.dag_cbor import Record
from outbox.record.record import RecordUrls, own_part, record_for
from outbox.relay.journal import record_adopted
from outbox.relay.observations import CLEAN, encoded

NEWER: Final = MirrorReason.NEWER_ON_PDS

target: Final = mirror_target.c


def keep_newer(
    unit: UnitOfWork, key: RecordKey, cid: str | None, record: Record | None, urls: RecordUrls
) -> None:
    """Acknowledge the record if it is what the track says; otherwise hold it as a conflict.

    A gate that the restored log has lost is set again at once: else the audio is open until its owner decides.
    Of one that was not read, a delete alone is held, since a write would be refused by its swap. The caller holds the lane's lock. A detached target is left alone, since nothing is written to it anyway.
    """
    this = (target.did == key.did, target.collection == key.collection, target.rkey == key.rkey)
    row = unit.connection.execute(
        select(mirror_target, is_open().label("is_open")).where(*this)
    ).one_or_none()
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
    track = unit.load(Track, Track.create_id(row.track_id))
    if (blob := _blob_of(record, track)) is not None:
        track.record_blob(blob, at=unit.now)
    if record.get("supportGate") and track.support_gate is None:
        track.set_support_gate(SupportGate(GATE_TYPES[0]), at=unit.now)
    is_same = own_part(record_for(track, 0, urls)) == own_part(record)
    if is_same:
        track.record_foreign_edit_withdrawn(track.foreign_edit, observed_at=unit.now)
    else:
        track.record_foreign_edit(cid, observed_at=unit.now)
    unit.save(track)
    gen = unit.connection.execute(select(target.desired_gen).where(*this)).scalar_one()
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


def _blob_of(record: Record, track: Track) -> BlobRef | None:
    """The blob that the record names, if it is the track's audio: without it the next write would drop it."""
    blob = blob_reference(record.get("audioBlob"))
    if blob is not None and blob["ref"]["$link"] == track.audio.cid:
        return BlobRef(track.audio.cid, blob)
    return None
