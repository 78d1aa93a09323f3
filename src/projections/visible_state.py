"""The state of a subject as history shows it: plain JSON values by field."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from aggregates.published import Published
from aggregates.track import Track
from aggregates.values import Artwork, Audio, Downloads, Feature, SupportGate


def _as_it_is(value: Any) -> Any:
    return value


def _fields(value: Artwork | Audio | Feature | SupportGate | None) -> dict[str, Any] | None:
    return dict(vars(value)) if value is not None else None


def _text(timestamp: datetime | None) -> str | None:
    return timestamp.isoformat() if timestamp is not None else None


SHOWN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "title": _as_it_is,
    "artist": _as_it_is,
    "album": _as_it_is,
    "features": lambda features: [_fields(each) for each in features],
    "tags": list,
    "description": _as_it_is,
    "support_gate": _fields,
    "unlisted": _as_it_is,
    "downloads": lambda downloads: None if downloads is Downloads.OPEN else downloads.value,
    "self_labels": list,
    "audio": _fields,
    "artwork": _fields,
    "image_url": _as_it_is,
    "blob": lambda blob: blob.audio_cid if blob is not None else None,
    "blob_requested": _as_it_is,
    "blob_failure": _as_it_is,
    "record_missing_since": _text,
    "foreign_edit": _as_it_is,
    "deleted_at": _text,
    "taken_down_at": _text,
    "takedown_reason": _as_it_is,
    "created_at": _as_it_is,
    "collection": _as_it_is,
    "rkey": _as_it_is,
}
"""Every field of a track whose changes are shown, in order, with the JSON value of its value."""
OF_RECORD: Final[Mapping[str, Callable[[Any], Any]]] = {
    "record_missing_since": _text,
    "foreign_edit": _as_it_is,
    "deleted_at": _text,
    "created_at": _as_it_is,
    "collection": _as_it_is,
    "rkey": _as_it_is,
}
"""What is shown of every kind; of one that says no more, its METADATA too, as it is."""


@cache
def _shown(of: type[Published]) -> Mapping[str, Callable[[Any], Any]]:
    if of is Track:
        return SHOWN
    return {**dict.fromkeys(of.METADATA, _as_it_is), **OF_RECORD}


def visible_state(subject: Published | None) -> dict[str, Any]:
    """Return every field whose changes are shown; a subject that does not exist yet has none."""
    if subject is None:
        return {}
    return {field: shown(getattr(subject, field)) for field, shown in _shown(type(subject)).items()}


def changes_between(before: Published | None, after: Published) -> list[dict[str, Any]]:
    """Return `difference` of the states of a subject; only the values that changed are made."""
    if before is None:
        return difference({}, visible_state(after))
    earlier, later = vars(before), vars(after)
    pairs = (
        (field, shown(earlier[field]), shown(later[field]))
        for field, shown in _shown(type(after)).items()
        if earlier[field] != later[field]
    )
    return [{"field": field, "before": was, "after": now} for field, was, now in pairs if was != now]


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """List the fields whose values differ, in the order of the state."""
    fields = dict.fromkeys([*after, *before])
    return [
        {"field": field, "before": before.get(field), "after": after.get(field)}
        for field in fields
        if before.get(field) != after.get(field)
    ]
