"""Puts the owner's decision on a conflict into effect: ours is written over theirs, or the track adopts their fields.

Only texts, features and labels are adopted; all other fields are written again as the track has them, since a record
never decides who may listen, and no event changes an address, a date or an author.
"""

from collections.abc import Callable
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


def keep_theirs(unit: UnitOfWork, track: Track, conflict: Conflict, urls: RecordUrls) -> None:
    """Adopt their changed fields. A write follows if the track's record still differs: fields that only we changed stay."""
    track.adopt_foreign_edit(conflict.cid, adoptable(conflict), at=unit.now)
    if own_part(record_for(track, 0, urls)) == own_part(conflict.theirs or {}):
        unit.save(track)
        acknowledge(unit.connection, conflict, unit.now)
    else:
        keep_ours(unit, track, conflict)


def adoptable(conflict: Conflict) -> dict[str, Any]:
    """Return the checked values of the changed fields that a track has; raises InvalidFieldError."""
    if conflict.theirs is None:
        raise InvalidFieldError(
            "record", "it contains values that a record of ours cannot have; keep `ours` instead"
        )
    theirs, changed = conflict.theirs, conflict.fields
    return {field: read(theirs.get(name)) for name, (field, read) in FIELDS.items() if name in changed}


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
