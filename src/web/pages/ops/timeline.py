"""The timeline of a track as its owner sees it, told to an operator: with which operator acted, in the console's words for what waits."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from api.responses.states import MirrorState
from web.filters import sentence
from web.pages.ops.record_words import record_words
from web.pages.studio.words import (
    DOWNLOADS,
    THE_OPERATOR,
    Change,
    Delivery,
    Moment,
    moment,
    name_of_actor,
)

_WAITS: Final = frozenset(MirrorState) - {MirrorState.DELIVERED}
_MOST_CHARACTERS: Final = 1000
"""Of a value: a screen has many of them."""
_FOR_THE_OWNER_ALONE: Final = {DOWNLOADS["off"]: "the owner alone"}


def of_its_pds(words: str) -> str:
    """Tell an operator what is told the owner of a PDS."""
    return words.replace("your", "its")


def timeline(rows: Iterable[Mapping[str, Any]]) -> list[Moment]:
    """Return events of a track, as the API answers them, in words."""
    return [_moment(row) for row in rows]


def _moment(row: Mapping[str, Any]) -> Moment:
    told = moment(row, viewer_did="")
    return replace(
        told,
        actor=name_of_actor(row) if told.actor == THE_OPERATOR else told.actor,
        changes=[_change(each) for each in told.changes],
        delivery=None if told.delivery is None else _delivery(told.delivery, row["delivery"]),
        kept_here=of_its_pds(told.kept_here),
    )


def _change(told: Change) -> Change:
    return replace(told, before=_value(told.field, told.before), after=_value(told.field, told.after))


def _value(field: str, text: str | None) -> str | None:
    if text is None:
        return None
    if field == "downloads":
        return _FOR_THE_OWNER_ALONE.get(text, text)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _delivery(told: Delivery, found: Mapping[str, Any]) -> Delivery:
    if found["status"] not in _WAITS:
        return replace(told, words=of_its_pds(told.words))
    words = record_words({"state": found["status"], "reason": found["reason"]})
    return Delivery(words.tone, f"{words.label}. {sentence(words.why)}")
