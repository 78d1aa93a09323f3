"""Records that change namespace: what the new record takes over, and when the former one may be deleted."""

from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.streams.buckets import for_account
from outbox.mirror.states import TargetState
from outbox.mirror.tables import mirror_target, target
from outbox.mirror.targets import CHANGE_TARGET, IS_TARGET, of_target
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import Record, decode
from outbox.record.kind import RecordKind

_IS_SUBJECT: Final = (
    target.did == sa.bindparam("of_did"),
    target.subject_id == sa.bindparam("of_subject"),
    target.kind == sa.bindparam("of_kind"),
)
_CLEAR: Final = (
    sa.update(mirror_target).where(*_IS_SUBJECT, target.former).values(cleared_gen=sa.bindparam("upto"))
)
_IS_UNREAD: Final = sa.and_(
    target.observed_body.is_(None),
    target.ever_sent,
    target.acked_gen < target.desired_gen,
    target.state != TargetState.HELD,
)
_LEFT: Final = sa.select(target.did, target.collection, target.rkey, target.observed_body).where(
    *_IS_SUBJECT,
    target.former,
    sa.or_(target.observed_body.is_not(None), _IS_UNREAD),
)


def is_taken(connection: sa.Connection, key: RecordKey, *, excluding: Subject | None = None) -> bool:
    """Whether a subject has, or had, a record under the key; `excluding` does not count."""
    return subject_with_record(connection, key) not in {None, excluding}


def old_place(
    connection: sa.Connection, key: RecordKey, kind: RecordKind, subject_id: int
) -> RecordKey | None:
    """Return where the old collection may hold the record; None where the log says what is there."""
    if kind.old_collection is None or key.collection != kind.collection:
        return None
    place = replace(key, collection=kind.old_collection)
    return None if is_accounted_for(connection, place, kind.name, subject_id) else place


def is_accounted_for(connection: sa.Connection, key: RecordKey, kind: str, subject_id: int) -> bool:
    """Whether the log says what is under the key: another subject's record, or a former one of this, to be deleted."""
    is_known = sa.or_(
        target.subject_id != subject_id, target.kind != kind, target.acked_gen < target.desired_gen
    )
    return bool(connection.scalar(sa.select(sa.exists().where(IS_TARGET, is_known)), of_target(key)))


def expect_record(connection: sa.Connection, key: RecordKey) -> None:
    """Have the relay read the former record, which this service has not written, and then delete it. Call it after the event."""
    connection.execute(CHANGE_TARGET, {**of_target(key), "ever_sent": True})


def subject_with_record(connection: sa.Connection, key: RecordKey) -> Subject | None:
    """Return what has, or had, a record under the key."""
    found = sa.select(target.kind, target.subject_id).where(IS_TARGET)
    row = connection.execute(found, of_target(key)).one_or_none()
    return Subject(*row) if row is not None else None


def carry_over(connection: sa.Connection, old: RecordKey, new: RecordKey) -> None:
    """Copy the acknowledged generation to the new target, after the event, so that delivered events stay delivered."""
    acked = connection.execute(sa.select(target.acked_gen).where(IS_TARGET), of_target(old)).scalar_one()
    connection.execute(CHANGE_TARGET, {**of_target(new), "acked_gen": acked})


def clear_former(connection: sa.Connection, did: str, kind: str, subject_id: int, upto: int) -> None:
    """Allow the former records to be deleted: the PDS has confirmed the new one as of this generation."""
    of = {**for_account(did, "of_did"), "of_kind": kind, "of_subject": subject_id}
    connection.execute(_CLEAR, {**of, "upto": upto})


def former_records(
    connection: sa.Connection, did: str, kind: str, subject_id: int
) -> tuple[Record, tuple[RecordKey, ...]]:
    """Return what the former records hold, whose fields of other clients are copied to the new one, and those that may exist and were never read."""
    fields: Record = {}
    unread = []
    of = {**for_account(did, "of_did"), "of_kind": kind, "of_subject": subject_id}
    for *key, body in connection.execute(_LEFT, of):
        if body is None:
            unread.append(RecordKey(*key))
        else:
            fields |= decode(body)
    return fields, tuple(unread)
