"""What an artist reads about the way of their records to their PDS: one sentence, and what they can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.responses.states import LaneState, MirrorReason, MirrorState


@dataclass(frozen=True)
class LaneWords:
    """`tone` is the colour of the mark: good, wait or bad."""

    tone: str
    headline: str
    explanation: str
    signs_in: bool = False
    """Whether signing in again is what helps."""


WORKS: Final = LaneWords(
    "good", "Your records reach your PDS.", "Every change is written to your PDS within moments."
)
REST_WORKS: Final = LaneWords(
    "good", "All else reaches your PDS.", "What else you change is written to your PDS within moments."
)
"""The same beside what waits for the artist."""
AT_WORK: Final = LaneWords(
    "wait", "Changes are on their way to your PDS.", "They are sent in the order of your tracks."
)
BY_REASON: Final[Mapping[str, LaneWords]] = {
    LaneState.AUTH_REQUIRED: LaneWords(
        "bad",
        "You have to sign in again.",
        "Your PDS no longer accepts the login of mastertape. What you change is kept here, and is sent when you have signed in.",
        signs_in=True,
    ),
    LaneState.INACTIVE: LaneWords(
        "bad",
        "Your account is not active at your PDS.",
        "It is deactivated, suspended or taken down there. Reactivate it at your PDS; mastertape looks every now and then.",
    ),
    LaneState.FULL: LaneWords(
        "bad",
        "Your storage at your PDS is full.",
        "Make room there, or delete a track. What you change is kept here; mastertape tries again each day.",
    ),
    LaneState.STALE: LaneWords(
        "wait",
        "Your PDS does not know your account.",
        "If you have moved to another PDS, sign in again. mastertape looks where your account is.",
        signs_in=True,
    ),
    LaneState.GONE: LaneWords(
        "bad",
        "Your account has not been found for days.",
        "No directory knows it. If it exists, sign in again.",
        signs_in=True,
    ),
    MirrorReason.PAUSED: LaneWords(
        "wait",
        "Deliveries to your PDS are paused.",
        "The operator of this service has paused them. What you change is kept here, and is sent afterwards.",
    ),
    MirrorReason.RESTORED: LaneWords(
        "wait",
        "Your records are compared first.",
        "The database of this service was restored from a backup. Before anything is written, your PDS is compared with the log.",
    ),
    MirrorReason.PDS_AWAY: LaneWords(
        "wait",
        "Your PDS does not answer.",
        "Nothing is lost: what waits is kept here, and is sent as soon as your PDS answers again.",
    ),
    MirrorReason.BACKOFF: LaneWords(
        "wait",
        "Your PDS did not take the last change.",
        "Nothing is lost: what waits is kept here, and is sent again by itself.",
    ),
}
"""By the `reason` of a lane: each of its states but `ready`."""


def lane_words(lane: Mapping[str, Any]) -> LaneWords:
    """Return the words for the answer of `GET /me/mirror`; what waits for a decision is not on its way."""
    if lane["reason"] is not None:
        return BY_REASON[lane["reason"]]
    return AT_WORK if lane["waiting"].get(MirrorState.PENDING) else WORKS
