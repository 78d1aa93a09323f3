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
    AudioCopyState,
    DriftKind,
    JobState,
    LaneState,
    MirrorReason,
    MirrorState,
    UnsentOutcome,
    VerdictKind,
)
from identity.accounts.credentials import CredentialKind, Scope


class Mark(StrEnum):
    """What a person sees of a mirror, as it is in addresses; with its label, and the tone of its colour."""

    label: str
    tone: str

    ON_PDS = "on-pds", "On your PDS", "good"
    ON_ITS_WAY = "on-its-way", "On its way", "way"
    WAITING = "waiting", "Waiting for you", "wait"
    HELD = "held", "Held", "wait"
    REFUSED = "refused", "Refused", "bad"
    AUDIO_REFUSED = "audio-refused", "Audio refused", "bad"
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
        return self.mark.tone


class Meaning(BaseModel):
    """What a mirror in a state means for the artist, and what helps."""

    words: str
    act: Act | None = None


class OfAudio(BaseModel):
    """What the artist reads of a track's audio; `copies`, of those that were selected to be copied to the PDS."""

    mark: Mark
    words: str
    copies: str


class OfRecord(BaseModel):
    """What operators read of a record; `next` is when it is tried again where no time is known, `advice` what they do."""

    label: str
    advice: str
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
    audio: dict[AudioCopyState | Literal["on_pds"], OfAudio]
    covers: dict[Literal["here", "elsewhere"], str]
    listeners: dict[str, str]
    outcomes: dict[VerdictKind | UnsentOutcome, tuple[str, str]]
    fields: dict[str, str]
    downloads: dict[str, str]
    events: dict[str, str]
    account_events: dict[str, str]
    ways: dict[str, str]
    operator_actions: dict[str, list[str]]
    records: dict[MirrorState, OfRecord]
    causes: dict[VerdictKind, str]
    releases: dict[str, tuple[str, str]]
    adoptions: dict[JobState, str]
    exports: dict[JobState, str]
    drifts: dict[DriftKind, str]
    token_kinds: dict[CredentialKind, str]
    permissions: dict[Scope, str]


WORDS: Final = Words.model_validate(tomllib.loads(Path(__file__).with_name("words.toml").read_text()))
WORKS: Final = WORDS.works
REST_WORKS: Final = WORDS.rest_works
AT_WORK: Final = WORDS.at_work
BY_REASON: Final[Mapping[Any, LaneWords]] = WORDS.lanes
"""By the `reason` of a lane: each of its states but `ready`."""
ON_PDS: Final = "on_pds"
"""Stands beside the states of the audio's copy: the record on the PDS names it, too."""


def lane_words(lane: Mapping[str, Any]) -> LaneWords:
    """Return the words for the answer of `GET /me/mirror`; what waits for a decision is not on its way."""
    if lane["reason"] is not None:
        return BY_REASON[lane["reason"]]
    return AT_WORK if lane["waiting"].get(MirrorState.PENDING) else WORKS


OUTCOMES: Final[Mapping[Any, tuple[str, str]]] = {
    None: ("way", "no answer yet"),
    **WORDS.outcomes,
}
"""Tone and words for the owner, by the outcome of an attempt."""
