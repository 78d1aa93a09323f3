"""What people read of a history: what was changed, by whom, in which way, and how it reached the PDS."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from api.requests.fields import is_reserved
from api.responses.mirror import ShownKind
from api.responses.states import EventStatus, MirrorState
from identity.accounts.sign_in import USUAL_NAME as APP_PASSWORD
from web.ask import Json
from web.rendering import playing_time
from web.state_words import WORDS
from web.whereabouts import shown
from web.word_diff import Part, compared

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
ITEMS: Final = "items"
SUBJECT: Final = "subject"
MOST_NAMED: Final = 20
"""Tracks of an order that are named: a list may have hundreds."""

Kind = ShownKind[Any]
Titles = Mapping[str, str]
"""The titles of tracks, by the URIs of their records."""
NO_TITLES: Final[Titles] = {}


@dataclass(frozen=True)
class Change:
    """A field before and after; None stands for no value."""

    field: str
    label: str
    before: str | None
    after: str | None

    @cached_property
    def parts(self) -> Sequence[Part]:
        """Both texts in one, word by word; empty where they are short, or have little in common."""
        return compared(self.before or "", self.after or "")


@dataclass(frozen=True)
class Delivery:
    """How an event reached the PDS, in words; `rev` names the commit."""

    tone: str
    words: str
    at: str | None = None
    rev: str | None = None


@dataclass(frozen=True)
class Moment:
    """One event of a track's history; `way` goes on from the sentence, `kept_here` says what of it is in no record.

    Of one that `is_undone` nothing is left: each of its fields is today as it was before it.
    """

    position: int
    version: int
    at: str
    actor: str
    sentence: str
    way: str
    changes: Sequence[Change]
    delivery: Delivery | None
    kept_here: str
    request_id: str
    is_undoable: bool = False
    is_undone: bool = False


def moments(
    rows: Sequence[Json],
    viewer_did: str,
    kind: Kind,
    titles: Titles,
    today: Json | None = None,
) -> list[Moment]:
    """Tell a page of a history, newest first, with what was undone, and what undid it; `today` has fields that changed after it."""
    sides = [(_values("before", row, kind), _values("after", row, kind)) for row in rows]
    now = dict(today or {})
    for _, after in sides:
        now = after | now
    told = []
    for at, (row, (before, after)) in enumerate(zip(rows, sides, strict=True), 1):
        one = moment(row, viewer_did, kind, titles)
        earlier = zip(rows[at:], sides[at:], strict=True)
        undid = next((each for each, of_it in earlier if before and of_it == (after, before)), None)
        if undid is not None:
            what = sentence_of({"kind": kind.name, **undid}, kind.called)
            one = replace(one, sentence=f"undid version {undid['version']}, which {what}")
        is_undone = bool(before) and all(now[name] == value for name, value in before.items())
        told.append(replace(one, is_undone=is_undone, is_undoable=bool(before) and not is_undone))
    return told


def _values(side: str, row: Json, kind: Kind) -> dict[str, Any]:
    """Return what an event changed that can be undone, before or after it."""
    if row["type"] in _BEGINNINGS or kind.kept_because is None:
        return {}
    return {each["field"]: each[side] for each in row["changes"] if each["field"] not in kind.kept_because}


def moment(row: Json, viewer_did: str, kind: Kind, titles: Titles = NO_TITLES) -> Moment:
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
        sentence_of({"kind": kind.name, **row}, kind.called),
        told,
        [] if is_beginning else changes_of(row["changes"], titles),
        _delivery(row["delivery"], is_deletion=row["type"] == "Deleted"),
        _kept_here([row], kind),
        row["request_id"],
    )


@dataclass(frozen=True)
class LastEdit:
    """What the newest request of a person or a program changed that is in no record; whether it changed nothing else."""

    kept_here: str
    is_kept_here_alone: bool


def last_edit(rows: Sequence[Json], version: int, kind: Kind) -> LastEdit:
    """Return the edit that made this version; one request may have made several events."""
    made = {row["request_id"] for row in rows if row["version"] == version}
    edit = [row for row in rows if row["request_id"] in made]
    words = _kept_here(edit, kind)
    return LastEdit(words, bool(words) and all(row["delivery"]["status"] == EventStatus.NONE for row in edit))


def _kept_here(rows: Iterable[Json], kind: Kind) -> str:
    changes = (each for row in rows if row["type"] not in _BEGINNINGS for each in row["changes"])
    return kept_here((each["field"] for each in changes if _is_set(each["field"], each["after"])), kind)


def kept_here(fields: Iterable[str], kind: Kind) -> str:
    """Say of these fields which ones no record has; empty where each is in the record."""
    names = sorted((name for name in fields if name in kind.kept_here), key=place_of)
    labels = list(dict.fromkeys(label_of(name).lower() for name in names))
    if not labels:
        return ""
    is_plural = len(labels) > 1 or labels[0].endswith("s")
    are, they_are = ("are", "they are") if is_plural else ("is", "it is")
    return f"{_listed(labels).capitalize()} {are} kept here; {they_are} not in the record on your PDS."


def set_but_kept_here(subject: Json, kind: Kind) -> str:
    """Say which of the fields that its owner set no record has."""
    return kept_here((name for name in kind.kept_here if _is_set(name, subject.get(name))), kind)


def _is_set(field: str, value: Any) -> bool:
    return text_of(field, value) != text_of(field, None)


def changes_of(changes: Sequence[Json], titles: Titles = NO_TITLES) -> list[Change]:
    return [
        Change(name, label_of(name), *(text_of(name, each[side], titles) for side in ("before", "after")))
        for each in changes
        if (name := each["field"]) not in _HIDDEN
    ]


def label_of(field: str) -> str:
    return WORDS.fields.get(field, field)


def place_of(field: str) -> int:
    """Return where a field stands among others: in the order of words.toml, unknown ones last."""
    return _PLACES.get(field, len(_PLACES))


def text_of(field: str, value: Any, titles: Titles = NO_TITLES) -> str | None:
    """Return a value of history or of a record as text; None for no value."""
    if items := _tracks_of(field, value):
        return _order(items, titles)
    if (show := _TEXTS.get(field)) is not None:
        return show(value) or None
    if value in (None, "", []):
        return None
    if isinstance(value, list):
        return ", ".join(_item(each) for each in value)
    return str(value)


def uris_in(values: Iterable[Json]) -> list[str]:
    """Return the URIs of tracks among changes of fields, or values of them."""
    found = (
        _reference(item)[0]
        for each in values
        for value in each.values()
        for item in _tracks_of(each["field"], value)[:MOST_NAMED]
    )
    return list(dict.fromkeys(found))


def _tracks_of(field: str, value: Any) -> Sequence[Any]:
    """Return the items of an order, or as one what a reaction is about."""
    if field == ITEMS and isinstance(value, list):
        return value
    return [{SUBJECT: value}] if field == SUBJECT and value else ()


def _order(items: Sequence[Any], titles: Titles) -> str | None:
    named = [
        f"{titles.get(uri, uri)}{f' (…{cid[-6:]})' if cid else ''}"
        for uri, cid in map(_reference, items[:MOST_NAMED])
    ]
    more = len(items) - len(named)
    return " · ".join([*named, *([f"and {more} more"] if more else [])]) or None


def _reference(item: Any) -> tuple[str, str]:
    """Return the URI and the CID of an item, which history names by its URI alone."""
    match item:
        case {"subject": {"uri": str(uri), "cid": str(cid)}}:
            return uri, cid
    return str(item), ""


def _item(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("handle") or value.get("val") or value.get("did") or value)
    return str(value)


def _audio(value: Any) -> str | None:
    if value is None:
        return None
    from jinja2.filters import do_filesizeformat  # noqa: PLC0415 - takes long to load

    parts = (value["file_type"].upper(), playing_time(value["duration"]), do_filesizeformat(value["size"]))
    return " · ".join(part for part in parts if part)


_TEXTS: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "audio": _audio,
    "audio_names": lambda names: ", ".join((names or {}).values()),
    **dict.fromkeys(("artwork", "image_url"), lambda value: None if value is None else "a cover"),
    **dict.fromkeys(("avatar", "avatar_url"), lambda value: None if value is None else "a picture"),
    **dict.fromkeys(("support_gate", "supportGate"), lambda value: "supporters" if value else "everyone"),
    **dict.fromkeys(("blob", "audioBlob"), lambda value: "there" if value else None),
    "unlisted": lambda value: "left out" if value else "shown",
    "downloads": lambda value: DOWNLOADS[value or "open"],
    "comments": lambda value: "on" if value else "off",
    "labels": lambda value: ", ".join(
        map(_item, value["values"] if isinstance(value, Mapping) else value or [])
    ),
    "duration": playing_time,
    **dict.fromkeys(
        ("timestamp_ms", "timestampMs"), lambda value: None if value is None else playing_time(value / 1000)
    ),
}


def sentence_of(row: Json, word: str | None = None) -> str:
    """Say what an event did; `word` is what people call what it happened to."""
    of_kind = f"{row['kind']}.{row['type']}"
    if words := WORDS.events.get(of_kind) or WORDS.events.get(row["type"]):
        return words.format(it=word or row["kind"])
    if row["type"] == "VisibilityChanged":
        return "left it out of lists" if row["changes"][0]["after"] else "showed it in lists again"
    names = (each["field"] for each in row["changes"])
    labels = list(dict.fromkeys(label_of(name).lower() for name in names if name not in _HIDDEN))
    return f"changed the {_listed(labels)}" if labels else "changed nothing that shows"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _actor(row: Json, viewer_did: str) -> str:
    way, _, program = row["via"].partition(":")
    if way in {"relay", "job"}:
        return "mastertape"
    if way == "operator":
        return THE_OPERATOR
    if program in {"", APP_PASSWORD}:
        return _person(row, viewer_did, you="You")
    return f"A program named “{program}”" if is_reserved(program) else program


def _person(row: Json, viewer_did: str, *, you: str) -> str:
    return you if row["actor"] == viewer_did else name_of_actor(row)


def name_of_actor(row: Json) -> str:
    """Return the handle of who made an event, or the DID where no handle is known."""
    return f"@{row['actor_handle']}" if row["actor_handle"] else str(row["actor"])


def way_of(via: str) -> str:
    """Return in which way an event came about; empty for operators."""
    way, _, name = via.partition(":")
    return f"with {name}" if name else WORDS.ways.get(way, "")


def _delivery(found: Json, *, is_deletion: bool) -> Delivery | None:
    status = found["status"]
    if status == EventStatus.NONE:
        return None
    if status == EventStatus.SUPERSEDED:
        return Delivery("good", "On your PDS with a later change", found["at"], found["rev"])
    if status == EventStatus.CANCELLED:
        return Delivery("", "Not sent: it was deleted first", found["at"])
    mark = shown({"state": status, "reason": found["reason"]}, is_deleted=is_deletion)
    if status == MirrorState.DELIVERED:
        return Delivery(mark.tone, mark.label, found["at"], found["rev"])
    return Delivery(mark.tone, f"{mark.label}. {mark.reason}")
