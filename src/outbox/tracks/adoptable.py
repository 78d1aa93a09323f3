"""The fields of a track that its owner may take over from another client's edit of the record.

Texts, features and labels alone: a record never decides who may listen, and no event changes an address, a date or an author.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.values import (
    Feature,
    checked_album,
    checked_description,
    checked_features,
    checked_self_labels,
    checked_title,
)
from outbox.record.lexicon import FORMATS


def _text(field: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidFieldError(field, "must be a text")
    return value


def _checked_features(value: Any) -> tuple[Feature, ...]:
    try:
        features = [Feature(each["did"], each["handle"]) for each in value or ()]
        if all(FORMATS["did"](each.did) and FORMATS["handle"](each.handle) for each in features):
            return checked_features(features)
    except (TypeError, KeyError):
        pass
    raise InvalidFieldError("features", "must be a list of objects with `did` and `handle`")


def _checked_labels(value: Any) -> tuple[str, ...]:
    try:
        labels = [each["val"] for each in value["values"]] if value is not None else []
        return checked_self_labels(labels)
    except (TypeError, KeyError, AttributeError):
        raise InvalidFieldError("self_labels", "must be a list of labels") from None


ADOPTABLE: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "title": ("title", lambda value: checked_title(_text("title", value) or "")),
    "album": ("album", lambda value: checked_album(_text("album", value))),
    "description": ("description", lambda value: checked_description(_text("description", value))),
    "features": ("features", _checked_features),
    "labels": ("self_labels", _checked_labels),
}
"""By field of the record: the track's attribute, and the function that checks a value."""
