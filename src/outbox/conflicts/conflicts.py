"""Conflicts: another client changed a record, and its owner decides which version stays."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select, update

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.namespace_moves import clear_former
from outbox.mirror.states import TargetState
from outbox.mirror.tables import mirror_target
from outbox.mirror.targets import CHANGE_TARGET, IS_TARGET, PUT, is_about, of_target
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import Record, decode
from outbox.record.kind import RecordKind
from outbox.relay.journal import record_adopted
from outbox.relay.result import CLEAN

target = mirror_target.c


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


def conflict_of(connection: Connection, kind: RecordKind, subject_id: int) -> Conflict | None:
    """Return the conflict that the subject's owner has to decide: of its record, or else of a former copy."""
    row = _held(connection, kind.name, subject_id)
    if row is None:
        return None
    key = RecordKey(row.did, row.collection, row.rkey)
    theirs, base = _record(row.conflict_body), _record(row.observed_body)
    return Conflict(kind, key, subject_id, row.conflict_cid, theirs, base, row.former)


def has_conflict(connection: Connection, kind: str, subject_id: int) -> bool:
    """Whether there is a conflict that the subject's owner has to decide."""
    return _held(connection, kind, subject_id) is not None


def _held(connection: Connection, kind: str, subject_id: int) -> Any:
    is_former = and_(target.former, target.failed_gen >= target.desired_gen)
    is_current = and_(target.desired_op == PUT, ~target.detached)
    return connection.execute(
        select(mirror_target)
        .where(
            *is_about(mirror_target, kind, subject_id),
            target.state == TargetState.HELD,
            or_(is_former, is_current),
        )
        .order_by(target.former)
        .limit(1)
    ).one_or_none()


def build_on(connection: Connection, conflict: Conflict) -> None:
    """Make their record the base of the next write, which replaces it and nothing newer.

    A former copy waits until their fields are written in the new collection.
    """
    waits = {"cleared_gen": 0} if conflict.is_former else {}
    _change(connection, conflict.key, **_their_record(), **CLEAN, **waits)


def acknowledge(connection: Connection, conflict: Conflict, now: datetime) -> None:
    """Acknowledge their record as delivered, since the log says the same, and have it verified."""
    newest = select(target.desired_gen).where(IS_TARGET)
    gen = connection.execute(newest, of_target(conflict.key)).scalar_one()
    values = {
        **_their_record(),
        **CLEAN,
        "acked_gen": gen,
        "acked_at": now,
        "look_at": now,
        "backfill": False,
    }
    _change(connection, conflict.key, **values)
    record_adopted(connection, conflict.key, gen, conflict.cid, now)
    clear_former(connection, conflict.kind.name, conflict.subject_id, gen)


def clear_conflict(connection: Connection, kind: str, subject_id: int) -> None:
    """Reopen a held target on our own base; if their record is still there, the PDS refuses the swap."""
    held = update(mirror_target).where(
        *is_about(mirror_target, kind, subject_id), target.state == TargetState.HELD
    )
    connection.execute(held.values(CLEAN))


def _their_record() -> dict[str, Any]:
    return {"observed_cid": target.conflict_cid, "observed_body": target.conflict_body}


def _change(connection: Connection, key: RecordKey, **values: Any) -> None:
    connection.execute(CHANGE_TARGET.values(values), of_target(key))


def _record(body: bytes | None) -> Record | None:
    return decode(body) if body is not None else None


def keep_ours(unit: UnitOfWork, subject: Published, conflict: Conflict) -> None:
    """Write the subject's record over exactly their version."""
    subject.restore_record(at=unit.now)
    unit.save(subject)
    build_on(unit.connection, conflict)


def keep_theirs(
    unit: UnitOfWork,
    subject: Published,
    conflict: Conflict,
    *,
    fields: Collection[str] | None = None,
) -> None:
    """Adopt those of their changed fields that can be adopted, or only `fields`, by their names in the record.

    A write follows if the record still differs: what only we changed stays, and so does what is not adopted.
    """
    kind = conflict.kind
    subject.adopt_foreign_edit(conflict.cid, adoptable(conflict, fields), at=unit.now)
    if kind.own_part(kind.record_of(subject, 0)) == kind.own_part(conflict.theirs or {}):
        unit.save(subject)
        acknowledge(unit.connection, conflict, unit.now)
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
    """A field of the record that another client changed: null is no value, `agreed` is what it was before.

    `only_ours_because` says why `theirs` cannot be chosen.
    """

    field: str
    ours: Any
    theirs: Any
    agreed: Any
    only_ours_because: str | None


def field_conflicts(conflict: Conflict, subject: Published) -> list[FieldConflict]:
    """Return what the owner can choose from, field by field."""
    kind = conflict.kind
    versions = (kind.record_of(subject, 0), conflict.theirs or {}, conflict.base or {})
    ours, theirs, agreed = map(kind.own_part, versions)
    return [
        FieldConflict(
            name,
            ours.get(name),
            theirs.get(name),
            agreed.get(name),
            _why_refused(kind, name, theirs.get(name)),
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
