"""The edit form of a track: its fields as text, what a person changed in them, and what was changed in the meantime.

Only what a person changed is sent. An edit of an older version keeps what was typed, and takes over what others changed in other fields.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from web.forms import Form

Values = Mapping[str, str]
Track = Mapping[str, Any]


def _list(text: str) -> list[str]:
    return [part for each in text.split(",") if (part := each.strip())]


def _handles(text: str) -> list[str]:
    return [each.removeprefix("@") for each in _list(text)]


def _joined(values: list[str]) -> str:
    return ", ".join(values)


def _features(track: Track) -> str:
    return _joined([each["handle"] for each in track["features"]])


def _gate(track: Track) -> str:
    return track["support_gate"]["type"] if track["support_gate"] else ""


@dataclass(frozen=True)
class _Field:
    """How a field is a text of the form, and the JSON that the API takes."""

    text: Callable[[Track], str]
    value: Callable[[str], Any]


FIELDS: Final[Mapping[str, _Field]] = {
    "title": _Field(lambda track: track["title"], str),
    "album": _Field(lambda track: track["album"] or "", str),
    "description": _Field(lambda track: track["description"] or "", str),
    "tags": _Field(lambda track: _joined(track["tags"]), _list),
    "features": _Field(_features, _handles),
    "self_labels": _Field(lambda track: _joined(track["self_labels"]), _list),
    "support_gate": _Field(_gate, lambda text: {"type": text} if text else None),
    "unlisted": _Field(lambda track: "true" if track["unlisted"] else "", lambda text: text == "true"),
    "downloads": _Field(lambda track: track["downloads"], str),
}


def texts_of(track: Track) -> dict[str, str]:
    """Return the fields as the form shows them."""
    return {name: field.text(track) for name, field in FIELDS.items()}


def typed_in(form: Form) -> dict[str, str]:
    """Return what the form says; a browser ends its lines with CR LF."""
    return {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}


def changes(typed: Values, before: Values) -> dict[str, Any]:
    """Return what to send: the fields that a person changed, as JSON."""
    return {name: FIELDS[name].value(text) for name, text in typed.items() if text != before[name]}


@dataclass(frozen=True)
class Merged:
    """What was typed, over what is there now; `overtaken` has the present text of fields that both changed."""

    values: Values
    overtaken: Values


def merged(typed: Values, before: Values, now: Values) -> Merged:
    mine = {name: text for name, text in typed.items() if text != before[name]}
    overtaken = {
        name: now[name] for name, text in mine.items() if now[name] != before[name] and now[name] != text
    }
    return Merged({**now, **mine}, overtaken)
