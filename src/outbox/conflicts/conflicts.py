"""Conflicts: another client changed a record, and its owner decides which version stays."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.errors import InvalidFieldError
from aggregates.published import Published, Subject
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.references import refresh_at_once
from outbox.mirror.due import is_open
from outbox.mirror.lanes import enter_host
from outbox.mirror.namespace_moves import clear_former
from outbox.mirror.states import MirrorReason, TargetState
from outbox.mirror.tables import PAST, lane, mirror_lane, mirror_target, target
from outbox.mirror.targets import CHANGE_TARGET, DELETE, IS_TARGET, PUT, is_about, of_target
from outbox.pds.client import RecordKey, Remote
from outbox.record.dag_cbor import Record, decode
from outbox.record.kind import RecordKind, RecordKinds
from outbox.relay.delivery_task import stream_of
from outbox.relay.result import CLEAN, acknowledge_as_found, encoded


@dataclass(frozen=True)
class Conflict:
    """Another client's record and ours: `theirs` is None if DAG-CBOR cannot hold it, `base` is None if we wrote nothing."""

    kind: RecordKind
    key: RecordKey
    subject_id: int
    cid: str
    theirs: Record | None
    base: Record | None
    is_former: bool = False
    """Whether it is in a former copy, in the collection that the record has left."""

    @property
    def fields(self) -> list[str]:
        """The names of our fields that the other client changed."""
        if self.theirs is None:
            return []
        theirs, base = self.kind.own_part(self.theirs), self.kind.own_part(self.base or {})
        changed = {name for name in {*theirs, *base} if theirs.get(name) != base.get(name)}
        # a record that blocks a namespace change has its own collection's $type
        return sorted(changed - {"$type"})


def conflict_of(connection: sa.Connection, did: str, kind: RecordKind, subject_id: int) -> Conflict | None:
    """Return the conflict that the subject's owner has to decide: of its record, or else of a former copy."""
    row = _held(connection, did, kind.name, subject_id)
    if row is None:
        return None
    key = RecordKey(row.did, row.collection, row.rkey)
    theirs, base = _record(row.conflict_body), _record(row.observed_body)
    return Conflict(kind, key, subject_id, row.conflict_cid, theirs, base, row.former)


def has_conflict(connection: sa.Connection, did: str, kind: str, subject_id: int) -> bool:
    return _held(connection, did, kind, subject_id) is not None


def _held(connection: sa.Connection, did: str, kind: str, subject_id: int) -> Any:
    is_former = sa.and_(target.former, target.failed_gen >= target.desired_gen)
    is_current = sa.and_(target.desired_op == PUT, ~target.detached)
    is_held = (target.state == TargetState.HELD, sa.or_(is_former, is_current))
    held = sa.select(mirror_target).where(*is_about(mirror_target, did, kind, subject_id), *is_held)
    return connection.execute(held.order_by(target.former).limit(1)).one_or_none()


def build_on(connection: sa.Connection, conflict: Conflict) -> None:
    """Make their record the base of the next write, which replaces it and nothing newer.

    A former copy waits until their fields are written in the new collection.
    """
    waits = {"cleared_gen": 0} if conflict.is_former else {}
    theirs = {"observed_cid": target.conflict_cid, "observed_body": target.conflict_body}
    _change(connection, conflict.key, **theirs, **CLEAN, **waits)


def acknowledge(connection: sa.Connection, conflict: Conflict, now: datetime) -> None:
    """Acknowledge their record as delivered, since the log says the same, and have it verified."""
    gen = _desired_gen(connection, conflict.key)
    _change(connection, conflict.key, look_at=now, backfill=False)
    acknowledge_as_found(connection, conflict.key, gen, (conflict.cid, conflict.theirs or {}), now)
    clear_former(connection, conflict.key.did, conflict.kind.name, conflict.subject_id, gen)


def clear_conflict(connection: sa.Connection, did: str, kind: str, subject_id: int) -> None:
    """Reopen a held target on our own base; if their record is still there, the PDS refuses the swap."""
    these = (*is_about(mirror_target, did, kind, subject_id), target.state == TargetState.HELD)
    connection.execute(sa.update(mirror_target).where(*these).values(CLEAN))


def _change(connection: sa.Connection, key: RecordKey, **values: Any) -> None:
    connection.execute(CHANGE_TARGET.values(values), of_target(key))


def _desired_gen(connection: sa.Connection, key: RecordKey) -> int:
    gen: int = connection.execute(sa.select(target.desired_gen).where(IS_TARGET), of_target(key)).scalar_one()
    return gen


def _record(body: bytes | None) -> Record | None:
    return decode(body) if body is not None else None


def keep_ours(unit: UnitOfWork, subject: Published, conflict: Conflict) -> None:
    """Write the subject's record over exactly their version."""
    subject.restore_record(at=unit.now)
    unit.save(subject)
    build_on(unit.connection, conflict)


def leave_out(
    unit: UnitOfWork, subject: Published, kind: RecordKind, names: Collection[str], there: Remote
) -> bool:
    """Write the subject's record without these fields of other clients, over exactly the version that is there.

    Returns whether it will be: not where another client has changed a field of ours, too.
    """
    these = (*is_about(mirror_target, subject.did, subject.TOPIC, subject.subject_id), ~target.former)
    row = unit.connection.execute(sa.select(mirror_target).where(*these)).one_or_none()
    base = _record(row.observed_body) if row is not None else None
    if row is None or base is None or kind.own_part(base) != kind.own_part(there.body or {}):
        return False
    subject.restore_record(at=unit.now)
    unit.save(subject)
    kept = {name: value for name, value in (there.body or {}).items() if name not in names}
    key = RecordKey(row.did, row.collection, row.rkey)
    _change(unit.connection, key, observed_cid=there.cid, observed_body=encoded(kept))
    return True


def keep_theirs(
    unit: UnitOfWork,
    subject: Published,
    conflict: Conflict,
    *,
    fields: Collection[str] | None = None,
) -> None:
    """Adopt those of their changed fields that can be adopted, or only `fields`, by their names in the record.

    A write follows if the record still differs: what only we changed stays, and so does what is not adopted. Else the lists
    that refer to it follow now.
    """
    kind = conflict.kind
    subject.adopt_foreign_edit(conflict.cid, adoptable(conflict, fields), at=unit.now)
    if kind.own_part(kind.record_of(subject, 0)) == kind.own_part(conflict.theirs or {}):
        unit.save(subject)
        acknowledge(unit.connection, conflict, unit.now)
        refresh_at_once(unit, subject.did, [Subject.of(subject)])
    else:
        keep_ours(unit, subject, conflict)


def adoptable(conflict: Conflict, fields: Collection[str] | None = None) -> dict[str, Any]:
    """Return the checked values of the changed fields that can be adopted, or of those in `fields`; raises InvalidFieldError."""
    if conflict.theirs is None:
        raise InvalidFieldError(
            "record", "it contains values that a record of ours cannot have; keep `ours` instead"
        )
    theirs, changed = conflict.theirs, conflict.fields if fields is None else fields
    known = conflict.kind.adoptable.items()
    return {field: read(theirs.get(name)) for name, (field, read) in known if name in changed}


@dataclass(frozen=True)
class FieldConflict:
    """A field that another client changed: null is no value, `agreed` is what it was before; `only_ours_because` says why not theirs."""

    field: str
    ours: Any
    theirs: Any
    agreed: Any
    only_ours_because: str | None


def field_conflicts(conflict: Conflict, subject: Published) -> list[FieldConflict]:
    kind = conflict.kind
    versions = (kind.record_of(subject, 0), conflict.theirs or {}, conflict.base or {})
    ours, theirs, agreed = map(kind.own_part, versions)
    return [
        FieldConflict(
            name,
            ours.get(name),
            theirs.get(name),
            agreed.get(name),
            _why_refused(kind, name, (conflict.theirs or {}).get(name)),
        )
        for name in conflict.fields
    ]


def _why_refused(kind: RecordKind, name: str, value: Any) -> str | None:
    if name not in kind.adoptable:
        return f"a {kind.name} does not take it from a record"
    try:
        kind.adoptable[name][1](value)
    except InvalidFieldError as refused:
        return refused.limit
    return None


NEWER: Final = MirrorReason.NEWER_ON_PDS


def keep_newer(
    unit: UnitOfWork, key: RecordKey, cid: str | None, record: Record | None, kinds: RecordKinds
) -> None:
    """Acknowledge the record if it is what the log says; otherwise hold it as a conflict.

    Of one that was not read, a delete alone is held, since a write would be refused by its swap. The caller holds the
    lane's lock. A detached target is left alone, since nothing is written to it anyway.
    """
    held = sa.select(mirror_target, target.subject_id.label("subject_id"), is_open().label("is_open"))
    row = unit.connection.execute(held.where(IS_TARGET), of_target(key)).one_or_none()
    if row is None or row.detached:
        return
    if row.desired_op == DELETE:
        if row.is_open or not row.former:
            _change(
                unit.connection,
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
        unit.save(subject)
        gen = _desired_gen(unit.connection, key)
        acknowledge_as_found(unit.connection, key, gen, (cid, record), unit.now)
        refresh_at_once(unit, key.did, [Subject.of(subject)])
        return
    subject.record_foreign_edit(cid, observed_at=unit.now)
    unit.save(subject)
    held_for = {"failed_gen": _desired_gen(unit.connection, key), "not_before": PAST}
    theirs = {"conflict_cid": cid, "conflict_body": encoded(record)}
    state = {"state": TargetState.HELD, "reason": MirrorReason.FOREIGN_EDIT}
    _change(unit.connection, key, **state, **held_for, **theirs)


def subjects_of_records(connection: sa.Connection, did: str) -> dict[tuple[str, str], Subject]:
    """Return the subject of each record of an account, by collection and key, former copies included."""
    query = sa.select(target.collection, target.rkey, target.kind, target.subject_id).where(target.did == did)
    return {(collection, rkey): Subject(*of) for collection, rkey, *of in connection.execute(query)}


def set_lane_host(connection: sa.Connection, did: str, host: str) -> None:
    """Set the host of a lane whose account never signed in, so that its records can be verified."""
    enter_host(connection, host)
    without_host = (lane.did == did, lane.host == "")
    connection.execute(sa.update(mirror_lane).where(*without_host).values(host=host))
