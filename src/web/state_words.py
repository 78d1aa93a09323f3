"""What people read of states and causes: artists of their lane and the marks of their tracks, operators of records, and what to do.

The states themselves say what they are (`phrase`) and what ends them (`exit`) to those who know the service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

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

    def __new__(cls, value: str, label: str = "", tone: str = "") -> Self:
        mark = str.__new__(cls, value)
        mark._value_, mark.label, mark.tone = value, label, tone
        return mark


class Act(StrEnum):
    SIGN_IN = "sign-in"
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


WORKS: Final = LaneWords(
    "Your records reach your PDS.",
    "Every change is written to your PDS within moments.",
    mark=Mark.ON_PDS,
)
REST_WORKS: Final = LaneWords(
    "All else reaches your PDS.",
    "What else you change is written to your PDS within moments.",
    mark=Mark.ON_PDS,
)
"""The same beside what waits for the artist."""
AT_WORK: Final = LaneWords(
    "Changes are on their way to your PDS.", "They are sent in the order of your tracks."
)
BY_REASON: Final[Mapping[str, LaneWords]] = {
    LaneState.AUTH_REQUIRED: LaneWords(
        "You have to sign in again.",
        "Your PDS no longer accepts the login of mastertape. What you change is kept here, and is sent when you have signed in.",
        "Ask the artist to sign in again. What waits is sent then.",
        Mark.WAITING,
        Act.SIGN_IN,
        signs_in=True,
    ),
    LaneState.INACTIVE: LaneWords(
        "Your account is not active at your PDS.",
        "It is deactivated, suspended or taken down there. Reactivate it at your PDS; mastertape looks every now and then.",
        "Ask the artist to reactivate the account at its PDS; that is noticed by itself, or at once with “Look for it”.",
        Mark.WAITING,
        Act.RETRY,
    ),
    LaneState.FULL: LaneWords(
        "Your storage at your PDS is full.",
        "Make room there, or delete a track. What you change is kept here; mastertape tries again each day.",
        "Ask the artist to make room at its PDS; it is tried again each day, or at once with “Look for it”.",
        Mark.WAITING,
        Act.RETRY,
    ),
    LaneState.STALE: LaneWords(
        "Your PDS does not know your account.",
        "If you have moved to another PDS, sign in again. mastertape looks where your account is.",
        "Nothing: the account is looked for by itself, or at once with “Look for it”. If it has moved, its artist can sign in again.",
        act=Act.RETRY,
        signs_in=True,
    ),
    LaneState.GONE: LaneWords(
        "Your account has not been found for days.",
        "No directory knows it. If it exists, sign in again.",
        "Ask the artist to sign in again. If the account exists, “Look for it” finds it.",
        Mark.WAITING,
        Act.SIGN_IN,
        signs_in=True,
    ),
    MirrorReason.PAUSED: LaneWords(
        "Deliveries to your PDS are paused.",
        "The operator of this service has paused them. What you change is kept here, and is sent afterwards.",
        "Resume it when what it was paused for is over: nothing is sent until then.",
    ),
    MirrorReason.RESTORED: LaneWords(
        "Your records are compared first.",
        "The database of this service was restored from a backup. Before anything is written, your PDS is compared with the log.",
        "Run `mastertape recovered`, then `mastertape verify pds`: its records are compared first.",
    ),
    MirrorReason.PDS_AWAY: LaneWords(
        "Your PDS does not answer.",
        "Nothing is lost: what waits is kept here, and is sent as soon as your PDS answers again.",
        "Nothing: delivery resumes by itself when its PDS answers.",
    ),
    MirrorReason.BACKOFF: LaneWords(
        "Your PDS did not take the last change.",
        "Nothing is lost: what waits is kept here, and is sent again by itself.",
        "Nothing: it is tried again by itself.",
    ),
}
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


_KEPT: Final = "Your changes are kept."
TOO_LARGE: Final = "PayloadTooLargeError"
"""The error of a PDS for a record over its limit."""
_OTHER: Final = ""
"""Another reason, which is the name of an error of the PDS."""
_MARKS: Final[Mapping[str, Mark]] = {
    MirrorState.DELIVERED: Mark.ON_PDS,
    MirrorState.PENDING: Mark.ON_ITS_WAY,
    MirrorState.PARKED: Mark.WAITING,
    MirrorState.HELD: Mark.HELD,
    MirrorState.DETACHED: Mark.HELD,
    MirrorState.REJECTED: Mark.REFUSED,
}
_MEANINGS: Final[Mapping[tuple[str, str | None], tuple[str, Act | None]]] = {
    (MirrorState.DELIVERED, _OTHER): ("Your PDS has it as it is here.", None),
    (MirrorState.PENDING, MirrorReason.SENDING): ("It is being sent to your PDS.", None),
    (MirrorState.PENDING, MirrorReason.BLOB): ("Its audio is being copied to your PDS.", None),
    (MirrorState.PENDING, MirrorReason.BACKOFF): (
        "Your PDS did not take it just now. It is sent again by itself.",
        Act.RETRY,
    ),
    (MirrorState.PENDING, MirrorReason.PACED): ("Your PDS asked for a pause. It is sent after it.", None),
    (MirrorState.PENDING, MirrorReason.VERIFYING): ("It is being made sure that the record is gone.", None),
    (MirrorState.PENDING, MirrorReason.SUCCESSOR): ("Its record is moving to another collection.", None),
    (MirrorState.PENDING, _OTHER): ("Your PDS answered {reason}. It is sent again by itself.", Act.RETRY),
    **{
        (MirrorState.PARKED, reason): (f"{words.headline} {_KEPT}", words.act)
        for reason, words in BY_REASON.items()
        if reason in _PARKS
    },
    (MirrorState.PARKED, _OTHER): (f"Sending waits: {{reason}}. {_KEPT}", Act.RETRY),
    (MirrorState.HELD, MirrorReason.FOREIGN_EDIT): (
        "Another program changed this record on your PDS. You decide what stays.",
        Act.DECIDE,
    ),
    (MirrorState.HELD, MirrorReason.NEWER_ON_PDS): (
        "The record on your PDS is newer than what this service knows. You decide what stays.",
        Act.DECIDE,
    ),
    (MirrorState.HELD, _OTHER): ("The record on your PDS was changed. You decide what stays.", Act.DECIDE),
    (MirrorState.DETACHED, MirrorReason.RECORD_MISSING): (
        "Another program deleted this record from your PDS. Write it again, or delete the track.",
        Act.RESTORE,
    ),
    (MirrorState.DETACHED, _OTHER): ("The record is gone from your PDS.", Act.RESTORE),
    (MirrorState.REJECTED, MirrorReason.NEWER_ON_PDS): (
        "The record was written again on your PDS after the track was deleted here.",
        Act.RETRY,
    ),
    (MirrorState.REJECTED, MirrorReason.MIGRATION_NEEDED): (
        "Your PDS holds this record in an older collection, under the same key.",
        Act.MOVE,
    ),
    (MirrorState.REJECTED, TOO_LARGE): (
        "The record is too large for your PDS, with what other programs keep in it. Shorten the texts of the track.",
        Act.RETRY,
    ),
    (MirrorState.REJECTED, _OTHER): (
        f"Your PDS refuses it: {{reason}}. Change the track, or try again. {_KEPT}",
        Act.RETRY,
    ),
}
_OF_DELETED: Final[Mapping[str, tuple[str, str]]] = {
    MirrorState.DELIVERED: ("Gone from your PDS", "Your PDS no longer has its record."),
    MirrorState.PENDING: (Mark.ON_ITS_WAY.label, "Its record is being taken off your PDS."),
}
"""Label and reason where the record is to be deleted."""


def shown(mirror: Mapping[str, Any], *, is_deleted: bool = False) -> Shown:
    state, reason = mirror["state"], mirror["reason"]
    words, act = _MEANINGS.get((state, reason)) or _MEANINGS[state, _OTHER]
    mark = _mark(state, reason)
    label = mark.label
    if is_deleted:
        label, words = _OF_DELETED.get(state, (label, words))
    return Shown(mark, label, words.format(reason=reason), act, mirror.get("next_attempt_at"))


def what_saving_does(mirror: Mapping[str, Any], lane_reason: str | None) -> str:
    waits_alone = {MirrorReason.MIGRATION_NEEDED, MirrorReason.PACED, MirrorReason.BACKOFF}
    if mirror["state"] in {MirrorState.HELD, MirrorState.DETACHED} or mirror["reason"] in waits_alone:
        return f"Kept here for now. {shown(mirror).reason}"
    if lane_reason is not None:
        return f"Kept here for now. {BY_REASON[lane_reason].headline}"
    return "Goes to your PDS at once."


def _mark(state: str, reason: str | None) -> Mark:
    return BY_REASON[reason].mark if state == MirrorState.PARKED and reason in _PARKS else _MARKS[state]


def states_of(mark: Mark, parked_for: str | None) -> list[str]:
    """Return the states of mirrors with this mark; `parked_for` is why the account's lane waits, if it does."""
    return [state for state in _MARKS if _mark(state, parked_for) is mark]


def count_by_mark(counts: Mapping[str, int], parked_for: str | None) -> dict[Mark, int]:
    return {mark: sum(counts.get(state, 0) for state in states_of(mark, parked_for)) for mark in Mark}


OUTCOMES: Final[Mapping[str | None, tuple[str, str]]] = {
    None: ("way", "no answer yet"),
    VerdictKind.DONE: ("good", "your PDS took it"),
    UnsentOutcome.ADOPTED: ("good", "your PDS had it already"),
    UnsentOutcome.CANCELLED: ("", "not sent, since the track was deleted first"),
    VerdictKind.READ_BACK: (
        "wait",
        "your PDS had another version than expected, so nothing was written over it",
    ),
    VerdictKind.AMBIGUOUS: ("wait", "no clear answer, so mastertape tries again without writing it twice"),
    VerdictKind.NOT_SENT: ("wait", "your PDS could not be reached"),
    VerdictKind.BLOB_MISSING: ("wait", "the audio has to be copied first"),
    VerdictKind.REJECTED: ("bad", "your PDS refused it"),
    VerdictKind.PACED: ("wait", "your PDS asked for a pause"),
    VerdictKind.SIGN_IN: ("wait", "your PDS asked for a sign-in"),
    VerdictKind.INACTIVE: ("wait", "your account is not active at your PDS"),
    VerdictKind.FULL: ("wait", "your storage at your PDS is full"),
    VerdictKind.MOVED: ("wait", "your PDS does not know your account"),
    VerdictKind.BROKEN: ("wait", "a fault of mastertape, which tries again"),
}
"""Tone and words for the owner, by the outcome of an attempt."""
