"""The form of a release: what is typed there, field by field, over what others have saved since it was read.

Beside each field it has a hidden digest of the text that was there, and beside the rows the order that they had: rows that
come later bring their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from web.ask import Form, Json
from web.pages.studio.subject import FLAG, Fields, text_or_none
from web.pages.studio.track import FIELDS as OF_TRACKS

_TO_TAGS: Final = OF_TRACKS["tags"][1]
FIELDS: Final[Fields] = {
    "title": (text_or_none, str),
    "release_date": (text_or_none, str),
    **{name: OF_TRACKS[name] for name in ("description", "tags", "support_gate", "unlisted", "downloads")},
    "copy_audio": FLAG,
}
OF_ROWS: Final[Fields] = {
    "title": (str, str),
    "description": (text_or_none, lambda text: text or None),
    "tags": (lambda tags: ", ".join(tags or ()), lambda text: _TO_TAGS(text) or None),
}
"""Of a track; no tags give it those of the release."""
ORDER: Final = "order"


@dataclass(frozen=True)
class Typed:
    """What the form shows; of it, what a person has changed; and what others have saved meanwhile of that."""

    values: Mapping[str, str]
    order: Sequence[str]
    changed: Mapping[str, str]
    overtaken: Mapping[str, str]
    is_moved: bool

    @property
    def fields(self) -> dict[str, Any]:
        """What changed of the release, as the API takes it."""
        return {name: read(self.changed[name]) for name, (_, read) in FIELDS.items() if name in self.changed}

    @property
    def tracks(self) -> list[dict[str, Any]]:
        """The order and what changed of each track, as the API takes it; nothing where neither did."""
        tracks = [{"upload_id": each, **self._track(each)} for each in self.order]
        return tracks if self.is_moved or any(len(each) > 1 for each in tracks) else []

    def _track(self, upload_id: str) -> dict[str, Any]:
        names = {name: f"{name}-{upload_id}" for name in OF_ROWS}
        return {name: OF_ROWS[name][1](self.changed[at]) for name, at in names.items() if at in self.changed}


def files_of(release: Json) -> list[Json]:
    return [each for each in release["files"] if each["state"] == "complete"]


def texts_of(release: Json) -> dict[str, str]:
    texts = {name: text(release[name]) for name, (text, _) in FIELDS.items()}
    for file in files_of(release):
        texts |= {f"{name}-{file['upload_id']}": text(file[name]) for name, (text, _) in OF_ROWS.items()}
    # a browser shows each end of a line as one, and sends it so
    return {name: text.replace("\r\n", "\n").replace("\r", "\n") for name, text in texts.items()}


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def read(release: Json, form: Form) -> Typed:
    """Compare what was typed with what was there then, and what is there now. An empty title of a track leaves it as it is."""
    now = texts_of(release)
    # a page of an older version sends no digests, so what its artist saw is unknown
    then = {
        name: form.get(f"version-{name}", "") for name in now if name in form or f"version-{name}" in form
    }
    typed = {name: form.get(name, "") for name in then}
    mine = {name: text for name, text in typed.items() if digest(text) != then[name] and text != now[name]}
    changed = {name: text for name, text in mine.items() if text or not name.startswith("title-")}
    overtaken = {name: now[name] for name in changed if digest(now[name]) != then[name]}
    ids = [each["upload_id"] for each in files_of(release)]
    order, is_overtaken = _order(ids, form)
    if is_overtaken:
        overtaken[ORDER] = ""
    return Typed({**now, **changed}, order, changed, overtaken, is_moved=order != ids)


def _order(now: list[str], form: Form) -> tuple[list[str], bool]:
    """Return the order that the form leaves, and whether others have moved rows as well, to another one."""
    then, typed = form.get(f"version-{ORDER}", "").split(), form.getlist("upload_id")
    is_moved = _among(typed, then) != _among(then, typed)
    others_moved = _among(now, then) != _among(then, now)
    if _among(typed, now) == _among(now, typed) or (others_moved and not is_moved):
        return now, False
    return list(dict.fromkeys([*_among(typed, now), *now])), others_moved


def _among(these: Sequence[str], others: Sequence[str]) -> list[str]:
    return [each for each in these if each in others]
