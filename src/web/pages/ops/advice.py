"""What an operator does about a cause, a host or a lane: one sentence for each, which says so where that is nothing."""

from collections.abc import Mapping
from typing import Any, Final

from api.responses.states import OUR_ERRORS, LaneState, MirrorReason, VerdictKind

BY_ITSELF: Final = "Nothing: it is tried again by itself, ever more rarely."
ABOUT_KIND: Final[Mapping[str, str]] = {
    VerdictKind.NOT_SENT: "Nothing: delivery resumes by itself when the host answers.",
    VerdictKind.AMBIGUOUS: BY_ITSELF,
    VerdictKind.READ_BACK: BY_ITSELF,
    VerdictKind.PACED: "Nothing: delivery goes on when the pause is over that the PDS asked for.",
    VerdictKind.BLOB_MISSING: "Nothing: the audio is uploaded first, and the record is sent after it.",
    VerdictKind.REJECTED: (
        "Ask the artists to change what the PDS refuses; or redrive, once the PDS takes it as it is."
    ),
    VerdictKind.SIGN_IN: "Ask the artists to sign in again.",
    VerdictKind.INACTIVE: "Ask the artists to reactivate their accounts at their PDS; that is noticed by itself.",
    VerdictKind.FULL: "Ask the artists to make room at their PDS; it is tried again each day.",
    VerdictKind.MOVED: "Nothing: the account is looked for by itself; if it is not found, ask its artist to sign in again.",
    VerdictKind.BROKEN: "Report the error: it is a fault of this service. Redrive once it is mended.",
}
"""By the `kind` of a cause."""
OUR_FAULT: Final = (
    "Nothing was sent, and the fault is here: if it does not pass within minutes, run `mastertape doctor`."
)
NONE_WAITS: Final = "Nothing: no record waits for it any more."
WAITS_IN_LANE: Final = (VerdictKind.SIGN_IN, VerdictKind.INACTIVE, VerdictKind.FULL, VerdictKind.MOVED)
"""Kinds that make a lane wait, so that they keep no record by themselves."""

ABOUT_LANE: Final[Mapping[str, str]] = {
    LaneState.AUTH_REQUIRED: "Ask the artist to sign in again. What waits is sent then.",
    LaneState.INACTIVE: (
        "Ask the artist to reactivate the account at its PDS; that is noticed by itself, or at once with “Look for it”."
    ),
    LaneState.FULL: (
        "Ask the artist to make room at its PDS; it is tried again each day, or at once with “Look for it”."
    ),
    LaneState.STALE: (
        "Nothing: the account is looked for by itself, or at once with “Look for it”. If it has moved, its artist can sign in again."
    ),
    LaneState.GONE: "Ask the artist to sign in again. If the account exists, “Look for it” finds it.",
    MirrorReason.PAUSED: "Resume it when what it was paused for is over: nothing is sent until then.",
    MirrorReason.RESTORED: "Run `mastertape recovered`, then `mastertape verify pds`: its records are compared first.",
    MirrorReason.PDS_AWAY: "Nothing: delivery resumes by itself when its PDS answers.",
    MirrorReason.BACKOFF: "Nothing: it is tried again by itself.",
}
"""By the `reason` of a lane: each of its states but `ready`."""
SIGNS_IN: Final = (LaneState.AUTH_REQUIRED, LaneState.STALE, LaneState.GONE)
"""The states that a sign-in ends."""


def about_cause(cause: Mapping[str, Any]) -> str:
    """Return what to do about a cause."""
    if not cause["records"] and cause["kind"] not in WAITS_IN_LANE:
        return NONE_WAITS
    return OUR_FAULT if cause["error"] in OUR_ERRORS else ABOUT_KIND.get(cause["kind"], BY_ITSELF)


def about_host(host: Mapping[str, Any]) -> str:
    """Return what to do about a host."""
    if host["paused"]:
        return ABOUT_LANE[MirrorReason.PAUSED]
    if host["failing_since"] is None:
        return "Nothing: it works."
    if not host["waiting"]:
        return NONE_WAITS
    return ABOUT_KIND[VerdictKind.NOT_SENT]


def about_lane(lane: Mapping[str, Any]) -> str:
    """Return what to do about a lane."""
    return ABOUT_LANE.get(lane["reason"], "Nothing: the relay delivers by itself.")
