"""Puts the owner's decision on a conflict into effect: ours is written over theirs, or their fields are adopted.

A kind says which fields can be adopted; all others are written again as the log has them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import Conflict, acknowledge, build_on
from outbox.record.kind import RecordKind


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
    """A field of the record that another client changed: None stands for no value, `agreed` is what it was before."""

    field: str
    ours: Any
    theirs: Any
    agreed: Any
    only_ours_because: str | None
    """Why theirs cannot be adopted."""


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
