"""The one quiet mark of each track for its artist, and the reason for it in plain words; a lane's are in `web.lane_words`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from api.responses.states import LaneState, MirrorReason, MirrorState
from web.lane_words import BY_REASON


class Mark(StrEnum):
    """What a person sees of a mirror, as it is in addresses."""

    ON_PDS = "on-pds"
    ON_ITS_WAY = "on-its-way"
    WAITING = "waiting"
    HELD = "held"
    REFUSED = "refused"


class Act(StrEnum):
    """What the owner can do about a mark."""

    SIGN_IN = "sign-in"
    DECIDE = "decide"
    RESTORE = "restore"
    RETRY = "retry"
    MOVE = "move"


LABELS: Final = {
    Mark.ON_PDS: "On your PDS",
    Mark.ON_ITS_WAY: "On its way",
    Mark.WAITING: "Waiting for you",
    Mark.HELD: "Held",
    Mark.REFUSED: "Refused",
}
TONES: Final = {
    Mark.ON_PDS: "good",
    Mark.ON_ITS_WAY: "way",
    Mark.WAITING: "wait",
    Mark.HELD: "wait",
    Mark.REFUSED: "bad",
}


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
        return TONES[self.mark]


_Meaning = tuple[Mark, str, Act | None]
_KEPT: Final = "Your changes are kept."
TOO_LARGE: Final = "PayloadTooLargeError"
"""The error of a PDS for a record over its limit."""
_MEANINGS: Final[Mapping[tuple[str, str | None], _Meaning]] = {
    (MirrorState.PENDING, MirrorReason.SENDING): (Mark.ON_ITS_WAY, "It is being sent to your PDS.", None),
    (MirrorState.PENDING, MirrorReason.BLOB): (
        Mark.ON_ITS_WAY,
        "Its audio is being copied to your PDS.",
        None,
    ),
    (MirrorState.PENDING, MirrorReason.BACKOFF): (
        Mark.ON_ITS_WAY,
        "Your PDS did not take it just now. It is sent again by itself.",
        Act.RETRY,
    ),
    (MirrorState.PENDING, MirrorReason.PACED): (
        Mark.ON_ITS_WAY,
        "Your PDS asked for a pause. It is sent after it.",
        None,
    ),
    (MirrorState.PENDING, MirrorReason.VERIFYING): (
        Mark.ON_ITS_WAY,
        "It is being made sure that the record is gone.",
        None,
    ),
    (MirrorState.PENDING, MirrorReason.SUCCESSOR): (
        Mark.ON_ITS_WAY,
        "Its record is moving to another collection.",
        None,
    ),
    **{
        (MirrorState.PARKED, reason): (mark, f"{BY_REASON[reason].headline} {_KEPT}", act)
        for reason, mark, act in (
            (LaneState.AUTH_REQUIRED, Mark.WAITING, Act.SIGN_IN),
            (LaneState.INACTIVE, Mark.WAITING, Act.RETRY),
            (LaneState.FULL, Mark.WAITING, Act.RETRY),
            (LaneState.GONE, Mark.WAITING, Act.SIGN_IN),
            (LaneState.STALE, Mark.ON_ITS_WAY, Act.RETRY),
            (MirrorReason.PAUSED, Mark.ON_ITS_WAY, None),
            (MirrorReason.RESTORED, Mark.ON_ITS_WAY, None),
        )
    },
    (MirrorState.HELD, MirrorReason.FOREIGN_EDIT): (
        Mark.HELD,
        "Another program changed this record on your PDS. You decide what stays.",
        Act.DECIDE,
    ),
    (MirrorState.HELD, MirrorReason.NEWER_ON_PDS): (
        Mark.HELD,
        "The record on your PDS is newer than what this service knows. You decide what stays.",
        Act.DECIDE,
    ),
    (MirrorState.DETACHED, MirrorReason.RECORD_MISSING): (
        Mark.HELD,
        "Another program deleted this record from your PDS. Write it again, or delete the track.",
        Act.RESTORE,
    ),
    (MirrorState.REJECTED, MirrorReason.NEWER_ON_PDS): (
        Mark.REFUSED,
        "The record was written again on your PDS after the track was deleted here.",
        Act.RETRY,
    ),
    (MirrorState.REJECTED, MirrorReason.MIGRATION_NEEDED): (
        Mark.REFUSED,
        "Your PDS holds this record in an older collection, under the same key.",
        Act.MOVE,
    ),
    (MirrorState.REJECTED, TOO_LARGE): (
        Mark.REFUSED,
        "The record is too large for your PDS, with what other programs keep in it. Shorten the texts of the track.",
        Act.RETRY,
    ),
}
_OTHERWISE: Final[Mapping[str, _Meaning]] = {
    MirrorState.DELIVERED: (Mark.ON_PDS, "Your PDS has it as it is here.", None),
    MirrorState.PENDING: (
        Mark.ON_ITS_WAY,
        "Your PDS answered {reason}. It is sent again by itself.",
        Act.RETRY,
    ),
    MirrorState.PARKED: (Mark.WAITING, f"Sending waits: {{reason}}. {_KEPT}", Act.RETRY),
    MirrorState.HELD: (Mark.HELD, "The record on your PDS was changed. You decide what stays.", Act.DECIDE),
    MirrorState.DETACHED: (Mark.HELD, "The record is gone from your PDS.", Act.RESTORE),
    MirrorState.REJECTED: (
        Mark.REFUSED,
        f"Your PDS refuses it: {{reason}}. Change the track, or try again. {_KEPT}",
        Act.RETRY,
    ),
}
"""Of a state with another reason, which is the name of an error of the PDS."""
_SENT_AS_SOON_AS: Final[Mapping[str | None, str]] = {
    MirrorState.HELD: "you have decided what stays",
    MirrorState.DETACHED: "its record is written again",
    MirrorReason.MIGRATION_NEEDED: "its record is moved",
    MirrorReason.PACED: "the pause is over that your PDS asked for",
    MirrorReason.BACKOFF: "your PDS takes changes again",
    MirrorReason.PDS_AWAY: "your PDS answers again",
    MirrorReason.PAUSED: "the operator of this service ends the pause",
    MirrorReason.RESTORED: "your records were compared",
    LaneState.AUTH_REQUIRED: "you have signed in again",
    LaneState.INACTIVE: "your account at your PDS is active again",
    LaneState.FULL: "your storage at your PDS has room again",
    LaneState.STALE: "your PDS knows your account again",
    LaneState.GONE: "your account is found again, or you have signed in again",
}
"""What a change waits for, by the state or reason of its track's mirror, or by the reason of the account's lane."""
_OF_DELETED: Final[Mapping[str, tuple[str, str]]] = {
    MirrorState.DELIVERED: ("Gone from your PDS", "Your PDS no longer has its record."),
    MirrorState.PENDING: (LABELS[Mark.ON_ITS_WAY], "Its record is being taken off your PDS."),
}
"""Label and reason where the record is to be deleted."""


def shown(mirror: Mapping[str, Any], *, is_deleted: bool = False) -> Shown:
    """Return what a person sees of a mirror, as the API answers it."""
    state, reason = mirror["state"], mirror["reason"]
    mark, words, act = _MEANINGS.get((state, reason)) or _OTHERWISE[state]
    label = LABELS[mark]
    if is_deleted:
        label, words = _OF_DELETED.get(state, (label, words))
    return Shown(mark, label, words.format(reason=reason), act, mirror.get("next_attempt_at"))


def what_saving_does(mirror: Mapping[str, Any], lane_reason: str | None) -> str:
    """Say when a change that is made now reaches the PDS."""
    reasons = (mirror["state"], mirror["reason"], lane_reason)
    waits_until = next((_SENT_AS_SOON_AS[each] for each in reasons if each in _SENT_AS_SOON_AS), None)
    if waits_until is None:
        return "Goes to your PDS at once."
    return f"Kept here; goes to your PDS as soon as {waits_until}."


def states_of(mark: Mark, parked_for: str | None) -> list[str]:
    """Return the states of mirrors with this mark; `parked_for` is why the account's lane waits, if it does."""
    parked = _MEANINGS.get((MirrorState.PARKED, parked_for), _OTHERWISE[MirrorState.PARKED])[0]
    return [state for state in MirrorState if _mark_of(state, parked) is mark]


def count_by_mark(counts: Mapping[str, int], parked_for: str | None) -> dict[Mark, int]:
    """Return the number of tracks with each mark."""
    return {mark: sum(counts.get(state, 0) for state in states_of(mark, parked_for)) for mark in Mark}


def _mark_of(state: MirrorState, parked: Mark) -> Mark:
    return parked if state is MirrorState.PARKED else _OTHERWISE[state][0]
