"""Resolves a foreign edit: the owner keeps our record, or adopts the other client's fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from aggregates.track import Track
from application.authorization import OnTrack, owner_of, require_owned, require_version
from application.errors import EditedAgainError, NothingToResolveError
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import Conflict, conflict_of, keep_ours, keep_theirs
from outbox.mirror.requeue import retry
from outbox.record.kind import RecordKind

BY_FIELD: Final = "fields"


class Resolution(StrEnum):
    """The side whose fields stay."""

    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True)
class Decision:
    """The owner's decision: one side for the whole record, or one for each field of `Conflict.fields`."""

    keep: Resolution | Mapping[str, Resolution]
    cid: str | None = None
    """The version of theirs that the owner has decided on; without it, the one that is known."""

    @property
    def policy(self) -> str:
        return self.keep if isinstance(self.keep, Resolution) else BY_FIELD


def resolve(unit: UnitOfWork, subject: Published, kind: RecordKind, decision: Decision) -> int:
    """Overwrite their record with ours, or adopt their fields, all that the kind takes or the chosen ones.

    Raises NothingToResolveError, EditedAgainError, and InvalidFieldError where the choice does not fit the conflict.
    """
    conflict = conflict_of(unit.connection, kind, subject.subject_id)
    if conflict is None:
        raise NothingToResolveError
    if decision.cid not in {None, conflict.cid}:
        raise EditedAgainError(conflict.cid)
    theirs = [] if isinstance(decision.keep, Resolution) else _chosen(conflict, decision.keep)
    if theirs or decision.keep is Resolution.THEIRS:
        keep_theirs(unit, subject, conflict, fields=theirs or None)
    else:
        keep_ours(unit, subject, conflict)
    return subject.subject_id


def _chosen(conflict: Conflict, sides: Mapping[str, Resolution]) -> list[str]:
    """Return the fields of which theirs stays; raises InvalidFieldError unless each differing field has a side that it can take."""
    if conflict.theirs is None:
        raise InvalidFieldError(BY_FIELD, "no field of their record can be read; keep `ours` instead")
    theirs = [name for name, side in sides.items() if side is Resolution.THEIRS]
    problems = {
        "a side is missing for": set(conflict.fields) - sides.keys(),
        "nothing differs in": sides.keys() - set(conflict.fields),
        "only `ours` can stay in": {*theirs} & {*conflict.fields} - conflict.kind.adoptable.keys(),
    }
    found = [f"{problem} {', '.join(sorted(names))}" for problem, names in problems.items() if names]
    if found:
        raise InvalidFieldError(BY_FIELD, f"must name a side for each field that differs: {'; '.join(found)}")
    return theirs


def retry_mirror(unit: UnitOfWork, command: OnTrack) -> int:
    """Make the record due, even a deleted track's."""
    view = require_owned(unit.connection, owner_of(unit), command.track_id, deleted_too=True)
    require_version(view.visible_version, command.versions)
    retry(unit.connection, owner_of(unit), Track.TOPIC, command.track_id, unit.now)
    return command.track_id
