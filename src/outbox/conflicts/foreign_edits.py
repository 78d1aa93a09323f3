"""Puts the owner's decision on a conflict into effect: ours is written over theirs, or the track adopts their fields.

Only texts, features and labels are adopted; all other fields are written again as the track has them, since a record
never decides who may listen, and no event changes an address, a date or an author.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.track import Track
from aggregates.values import (
    Feature,
    checked_album,
    checked_description,
    checked_features,
    checked_self_labels,
    checked_title,
)
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import Conflict, acknowledge, build_on
from outbox.record.lexicon import FORMATS
from outbox.record.record import RecordUrls, own_part, record_for


def keep_ours(unit: UnitOfWork, track: Track, conflict: Conflict) -> None:
    """Write the track's record over exactly their version."""
    track.restore_record(at=unit.now)
    unit.save(track)
    build_on(unit.connection, conflict)


def keep_theirs(
    unit: UnitOfWork,
    track: Track,
    conflict: Conflict,
    urls: RecordUrls,
    *,
    fields: Collection[str] | None = None,
) -> None:
    """Adopt those of their changed fields that a track has, or only `fields`, by their names in the record.

    A write follows if the track's record still differs: what only we changed stays, and so does what is not adopted.
    """
    track.adopt_foreign_edit(conflict.cid, adoptable(conflict, fields), at=unit.now)
    if own_part(record_for(track, 0, urls)) == own_part(conflict.theirs or {}):
        unit.save(track)
        acknowledge(unit.connection, conflict, unit.now)
    else:
        keep_ours(unit, track, conflict)


def adoptable(conflict: Conflict, fields: Collection[str] | None = None) -> dict[str, Any]:
    """Return the checked values of the changed fields that a track has, or of those in `fields`; raises InvalidFieldError."""
    if conflict.theirs is None:
        raise InvalidFieldError(
            "record", "it contains values that a record of ours cannot have; keep `ours` instead"
        )
    theirs, changed = conflict.theirs, conflict.fields if fields is None else fields
    return {field: read(theirs.get(name)) for name, (field, read) in FIELDS.items() if name in changed}


@dataclass(frozen=True)
class FieldConflict:
    """A field of the record that another client changed: None stands for no value, `agreed` is what it was before."""

    field: str
    ours: Any
    theirs: Any
    agreed: Any
    only_ours_because: str | None
    """Why theirs cannot be adopted."""


def field_conflicts(conflict: Conflict, track: Track, urls: RecordUrls) -> list[FieldConflict]:
    """Return what the owner can choose from, field by field."""
    ours, theirs, agreed = map(
        own_part, (record_for(track, 0, urls), conflict.theirs or {}, conflict.base or {})
    )
    return [
        FieldConflict(
            name, ours.get(name), theirs.get(name), agreed.get(name), _why_refused(name, theirs.get(name))
        )
        for name in conflict.fields
    ]


def _why_refused(name: str, value: Any) -> str | None:
    if name not in FIELDS:
        return "a track does not take it from a record"
    try:
        FIELDS[name][1](value)
    except InvalidFieldError as refused:
        return refused.limit
    return None


def _text(field: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidFieldError(field, "must be a text")
    return value


def _features(value: Any) -> tuple[Feature, ...]:
    try:
        features = [Feature(each["did"], each["handle"]) for each in value or ()]
        if all(FORMATS["did"](each.did) and FORMATS["handle"](each.handle) for each in features):
            return checked_features(features)
    except (TypeError, KeyError):
        pass
    raise InvalidFieldError("features", "must be a list of objects with `did` and `handle`")


def _labels(value: Any) -> tuple[str, ...]:
    try:
        labels = [each["val"] for each in value["values"]] if value is not None else []
        return checked_self_labels(labels)
    except (TypeError, KeyError, AttributeError):
        raise InvalidFieldError("self_labels", "must be a list of labels") from None


FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "title": ("title", lambda value: checked_title(_text("title", value) or "")),
    "album": ("album", lambda value: checked_album(_text("album", value))),
    "description": ("description", lambda value: checked_description(_text("description", value))),
    "features": ("features", _features),
    "labels": ("self_labels", _labels),
}
"""By field of the record: the track's attribute, and the function that checks a value."""
