"""What people read of states and causes, from words.toml: artists of their lane and the marks of their tracks, operators of records.

The states themselves say what they are (`phrase`) and what ends them (`exit`) to those who know the service.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel

from api.responses.states import (
    LaneState,
    MirrorReason,
    MirrorState,
    UnsentOutcome,
    VerdictKind,
)


class Mark(StrEnum):
    """What a person sees of a mirror, as it is in addresses; with its label, and the tone of its colour."""

    label: str
    tone: str

    ON_PDS = "on-pds", "On your PDS", "good"
    ON_ITS_WAY = "on-its-way", "On its way", "way"
    WAITING = "waiting", "Waiting for you", "wait"
    HELD = "held", "Held", "wait"
    REFUSED = "refused", "Refused", "bad"
    HERE = "here", "Kept here", ""

    def __new__(cls, value: str, label: str = "", tone: str = "") -> Self:
        mark = str.__new__(cls, value)
        mark._value_, mark.label, mark.tone = value, label, tone
        return mark


class Act(StrEnum):
    SIGN_IN = "sign-in"
    CONSENT = "consent"
    DECIDE = "decide"
    RESTORE = "restore"
    RETRY = "retry"
    MOVE = "move"


@dataclass(frozen=True)
class LaneWords:
    """A lane: its headline and explanation are for the artist; `advice` is what an operator does.

    `mark` is that of the records that wait; `signs_in`, whether signing in again is what helps.
    """

    headline: str
    explanation: str
    advice: str = ""
    mark: Mark = Mark.ON_ITS_WAY
    act: Act | None = None
    signs_in: bool = False

    @property
    def tone(self) -> str:
        return {Mark.ON_PDS: "good", Mark.WAITING: "bad"}.get(self.mark, "wait")


class Meaning(BaseModel):
    """What a mirror in a state means for the artist, and what helps."""

    words: str
    act: Act | None = None


class OfRecord(BaseModel):
    """What operators read of a record; `next` is when it is tried again where no time is known, `advice` what they do."""

    label: str
    advice: str
    tone: str = "bad"
    next: str = "once a person has decided"


class Words(BaseModel):
    """What words.toml holds; a key that names no state is refused."""

    lanes: dict[LaneState | MirrorReason, LaneWords]
    works: LaneWords
    rest_works: LaneWords
    at_work: LaneWords
    marks: dict[MirrorState, Mark]
    mirrors: dict[MirrorState, dict[MirrorReason | Literal["other", "PayloadTooLargeError"], Meaning]]
    deleted: dict[MirrorState, tuple[str, str]]
    outcomes: dict[VerdictKind | UnsentOutcome, tuple[str, str]]
    fields: dict[str, str]
    downloads: dict[str, str]
    events: dict[str, str]
    account_events: dict[str, str]
    ways: dict[str, str]
    operator_actions: dict[str, list[str]]
    records: dict[MirrorState, OfRecord]
    causes: dict[VerdictKind, str]


WORDS: Final = Words.model_validate(tomllib.loads(Path(__file__).with_name("words.toml").read_text()))
WORKS: Final = WORDS.works
REST_WORKS: Final = WORDS.rest_works
AT_WORK: Final = WORDS.at_work
BY_REASON: Final[Mapping[Any, LaneWords]] = WORDS.lanes
"""By the `reason` of a lane: each of its states but `ready`."""
_PARKS: Final = frozenset(BY_REASON) - {MirrorReason.PDS_AWAY, MirrorReason.BACKOFF}


def lane_words(lane: Mapping[str, Any]) -> LaneWords:
    """Return the words for the answer of `GET /me/mirror`; what waits for a decision is not on its way."""
    if lane["reason"] is not None:
        return BY_REASON[lane["reason"]]
    return AT_WORK if lane["waiting"].get(MirrorState.PENDING) else WORKS


@dataclass(frozen=True)
class Shown:
    """A mark with its reason; `until` is the ISO time of the next attempt, where it is known."""

    mark: Mark
    label: str
    reason: str
    act: Act | None = None
    until: str | None = None

    @property
    def tone(self) -> str:
        return self.mark.tone


WITHOUT_RECORD: Final = Shown(Mark.HERE, Mark.HERE.label, "It has no record on your PDS.")
_KEPT: Final = "Your changes are kept."
TOO_LARGE: Final = "PayloadTooLargeError"
"""The error of a PDS for a record over its limit."""


def shown(mirror: Mapping[str, Any], *, is_deleted: bool = False) -> Shown:
    state, reason = mirror["state"], mirror["reason"]
    found, mark = _meaning(state, reason), _mark(state, reason)
    label, words = mark.label, found.words.format(reason=reason)
    if is_deleted:
        label, words = WORDS.deleted.get(state, (label, words))
    return Shown(mark, label, words, found.act, mirror.get("next_attempt_at"))


NEEDS_CONSENT: Final = WORDS.mirrors[MirrorState.PARKED][MirrorReason.NEEDS_CONSENT].words


def _meaning(state: Any, reason: Any) -> Meaning:
    if state == MirrorState.PARKED and reason in _PARKS:
        lane = BY_REASON[reason]
        return Meaning(words=f"{lane.headline} {_KEPT}", act=lane.act)
    of_state = WORDS.mirrors[state]
    return of_state.get(reason) or of_state["other"]


def what_saving_does(mirror: Mapping[str, Any], lane_reason: str | None) -> str:
    waits_alone = {MirrorReason.MIGRATION_NEEDED, MirrorReason.PACED, MirrorReason.BACKOFF}
    if mirror["state"] in {MirrorState.HELD, MirrorState.DETACHED} or mirror["reason"] in waits_alone:
        return f"Kept here for now. {shown(mirror).reason}"
    if lane_reason is not None:
        return f"Kept here for now. {BY_REASON[lane_reason].headline}"
    return "Goes to your PDS at once."


def _mark(state: Any, reason: str | None) -> Mark:
    return BY_REASON[reason].mark if state == MirrorState.PARKED and reason in _PARKS else WORDS.marks[state]


def states_of(mark: Mark, parked_for: str | None) -> list[str]:
    """Return the states of mirrors with this mark; `parked_for` is why the account's lane waits, if it does."""
    return [state for state in WORDS.marks if _mark(state, parked_for) is mark]


def count_by_mark(counts: Mapping[str, int], parked_for: str | None) -> dict[Mark, int]:
    return {mark: sum(counts.get(state, 0) for state in states_of(mark, parked_for)) for mark in Mark}


OUTCOMES: Final[Mapping[Any, tuple[str, str]]] = {
    None: ("way", "no answer yet"),
    **WORDS.outcomes,
}
"""Tone and words for the owner, by the outcome of an attempt."""
