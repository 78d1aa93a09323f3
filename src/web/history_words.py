"""What people read of a track's history: what was changed, by whom, in which way, and how it reached the PDS."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2.filters import do_filesizeformat

from api.requests.fields import is_reserved
from api.responses.states import EventStatus, MirrorState
from api.routers.history import KEPT_HERE, REVERTIBLE
from identity.accounts.sign_in import USUAL_NAME as APP_PASSWORD
from web.rendering import playing_time
from web.state_words import WORDS, shown

_PLACES: Final = {name: place for place, name in enumerate(WORDS.fields)}
DOWNLOADS: Final[Mapping[str, str]] = WORDS.downloads
_HIDDEN: Final = frozenset(
    {
        "blob_requested",
        "foreign_edit",
        "record_missing_since",
        "deleted_at",
        "taken_down_at",
        "created_at",
        "rkey",
    }
)
"""Fields whose event says it all."""
_BEGINNINGS: Final = frozenset({"Created", "Adopted"})
THE_OPERATOR: Final = "The operator"
"""What an owner is told of an operator."""


@dataclass(frozen=True)
class Change:
    """A field before and after; None stands for no value."""

    field: str
    label: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Delivery:
    """How an event reached the PDS, in words; `rev` names the commit."""

    tone: str
    words: str
    at: str | None = None
    rev: str | None = None


@dataclass(frozen=True)
class Moment:
    """One event of a track's history; `way` goes on from the sentence, `kept_here` says what of it is in no record."""

    position: int
    version: int
    at: str
    actor: str
    sentence: str
    way: str
    changes: Sequence[Change]
    delivery: Delivery | None
    kept_here: str
    is_undoable: bool
    request_id: str


def moment(row: Mapping[str, Any], viewer_did: str) -> Moment:
    is_beginning = row["type"] in _BEGINNINGS
    way, _, program = row["via"].partition(":")
    words = WORDS.ways.get(way, "")
    told = f" {words}" if words else ""
    if program == APP_PASSWORD:
        told = ", signed in with an app password"
    elif program:
        told = ", acting for " + _person(row, viewer_did, you="you")
    return Moment(
        row["position"],
        row["version"],
        row["at"],
        _actor(row, viewer_did),
        sentence_of(row),
        told,
        [] if is_beginning else changes_of(row["changes"]),
        _delivery(row["delivery"], is_deletion=row["type"] == "Deleted"),
        _kept_here([row]),
        not is_beginning and any(each["field"] in REVERTIBLE for each in row["changes"]),
        row["request_id"],
    )


@dataclass(frozen=True)
class LastEdit:
    """What the newest request of a person or a program changed that is in no record; whether it changed nothing else."""

    kept_here: str
    is_kept_here_alone: bool


def last_edit(rows: Sequence[Mapping[str, Any]], version: int) -> LastEdit:
    """Return the edit that made this version; one request may have made several events."""
    made = {row["request_id"] for row in rows if row["version"] == version}
    edit = [row for row in rows if row["request_id"] in made]
    words = _kept_here(edit)
    return LastEdit(words, bool(words) and all(row["delivery"]["status"] == EventStatus.NONE for row in edit))


def _kept_here(rows: Iterable[Mapping[str, Any]]) -> str:
    edits = (row for row in rows if row["type"] not in _BEGINNINGS)
    return kept_here(each["field"] for row in edits for each in row["changes"])


def kept_here(fields: Iterable[str]) -> str:
    """Say of these fields which ones no record has; empty where each is in the record."""
    labels = list(dict.fromkeys(label_of(name).lower() for name in fields if name in KEPT_HERE))
    if not labels:
        return ""
    is_plural = len(labels) > 1 or labels[0].endswith("s")
    are, they_are = ("are", "they are") if is_plural else ("is", "it is")
    return f"{_listed(labels).capitalize()} {are} kept here; {they_are} not in the record on your PDS."


def set_but_kept_here(track: Mapping[str, Any]) -> str:
    """Say of a track which of the fields that its artist set no record has."""
    is_set = (name for name in KEPT_HERE if text_of(name, track[name]) != text_of(name, None))
    return kept_here(sorted(is_set, key=place_of))


def changes_of(changes: Sequence[Mapping[str, Any]]) -> list[Change]:
    return [
        Change(name, label_of(name), text_of(name, each["before"]), text_of(name, each["after"]))
        for each in changes
        if (name := each["field"]) not in _HIDDEN
    ]


def label_of(field: str) -> str:
    return WORDS.fields.get(field, field)


def place_of(field: str) -> int:
    """Return where a field stands among others: in the order of words.toml, unknown ones last."""
    return _PLACES.get(field, len(_PLACES))


def text_of(field: str, value: Any) -> str | None:
    """Return a value of history or of a record as text; None for no value."""
    if (show := _TEXTS.get(field)) is not None:
        return show(value) or None
    if value in (None, "", []):
        return None
    if isinstance(value, list):
        return ", ".join(_item(each) for each in value)
    return str(value)


def _item(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("handle") or value.get("val") or value.get("did") or value)
    return str(value)


def _audio(value: Any) -> str | None:
    if value is None:
        return None
    parts = (value["file_type"].upper(), playing_time(value["duration"]), do_filesizeformat(value["size"]))
    return " · ".join(part for part in parts if part)


_TEXTS: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "audio": _audio,
    **dict.fromkeys(("artwork", "image_url"), lambda value: None if value is None else "a cover"),
    **dict.fromkeys(("support_gate", "supportGate"), lambda value: "supporters" if value else "everyone"),
    **dict.fromkeys(("blob", "audioBlob"), lambda value: "there" if value else None),
    "unlisted": lambda value: "left out" if value else "shown",
    "downloads": lambda value: DOWNLOADS[value or "open"],
    "labels": lambda value: ", ".join(
        map(_item, value["values"] if isinstance(value, Mapping) else value or [])
    ),
    "duration": playing_time,
}


def sentence_of(row: Mapping[str, Any]) -> str:
    of_kind = f"{row.get('kind')}.{row['type']}"
    if words := WORDS.events.get(of_kind) or WORDS.events.get(row["type"]):
        return words
    if row["type"] == "VisibilityChanged":
        return "left it out of lists" if row["changes"][0]["after"] else "showed it in lists again"
    names = (each["field"] for each in row["changes"])
    labels = list(dict.fromkeys(label_of(name).lower() for name in names if name not in _HIDDEN))
    return f"changed the {_listed(labels)}" if labels else "changed nothing that shows"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _actor(row: Mapping[str, Any], viewer_did: str) -> str:
    way, _, program = row["via"].partition(":")
    if way in {"relay", "job"}:
        return "mastertape"
    if way == "operator":
        return THE_OPERATOR
    if program in {"", APP_PASSWORD}:
        return _person(row, viewer_did, you="You")
    return f"A program named “{program}”" if is_reserved(program) else program


def _person(row: Mapping[str, Any], viewer_did: str, *, you: str) -> str:
    return you if row["actor"] == viewer_did else name_of_actor(row)


def name_of_actor(row: Mapping[str, Any]) -> str:
    """Return the handle of who made an event, or the DID where no handle is known."""
    return f"@{row['actor_handle']}" if row["actor_handle"] else str(row["actor"])


def way_of(via: str) -> str:
    """Return in which way an event came about; empty for operators."""
    way, _, name = via.partition(":")
    return f"with {name}" if name else WORDS.ways.get(way, "")


def _delivery(found: Mapping[str, Any], *, is_deletion: bool) -> Delivery | None:
    status = found["status"]
    if status == EventStatus.NONE:
        return None
    if status == EventStatus.SUPERSEDED:
        return Delivery("good", "On your PDS with a later change", found["at"], found["rev"])
    if status == EventStatus.CANCELLED:
        return Delivery("", "Not sent: the track was deleted first", found["at"])
    mark = shown({"state": status, "reason": found["reason"]}, is_deleted=is_deletion)
    if status == MirrorState.DELIVERED:
        return Delivery(mark.tone, mark.label, found["at"], found["rev"])
    return Delivery(mark.tone, f"{mark.label}. {mark.reason}")


NOTES: Final = {name: kept_here([name]) for name in KEPT_HERE}
"""What the edit form says under a field that no record has."""
