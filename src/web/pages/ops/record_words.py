"""What the console says of a record: how it is, why, and what ends that, in the words of its states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.responses.states import AudioCopyState, LaneState, MirrorReason, MirrorState

LABELS: Final[Mapping[str, str]] = {
    MirrorState.PENDING: "On its way",
    MirrorState.PARKED: "Parked",
    MirrorState.HELD: "Held",
    MirrorState.DETACHED: "Deleted elsewhere",
    MirrorState.REJECTED: "Refused by the PDS",
    MirrorState.DELIVERED: "Record delivered",
}
AUDIO_REFUSED: Final = "Record delivered, its audio refused"
_TONES: Final[Mapping[str, str]] = {MirrorState.DELIVERED: "good", MirrorState.PENDING: "wait"}
_NEXT: Final[Mapping[str, str]] = {
    MirrorState.PENDING: "with the next run",
    MirrorState.PARKED: "when that ends",
    MirrorState.DELIVERED: "none",
}
_REASONS: Final[Mapping[str, MirrorReason | LaneState]] = {
    **{each.value: each for each in MirrorReason},
    **{each.value: each for each in LaneState},
}
SERVICE_ALONE: Final = "service"
"""The `audio_storage` of a track whose audio its PDS does not have."""
_REFERS: Final = "as "
"""How an exit begins that names another state's."""
_ENDS_REFUSAL: Final = (
    "the owner replaces the audio: `PUT /tracks/{id}/audio`; or has it uploaded again: "
    "`POST /tracks/{id}/migrate-to-pds`"
)


@dataclass(frozen=True)
class RecordWords:
    """`next` says when it is tried again where no time is known."""

    tone: str
    label: str
    why: str
    ends: str | None
    next: str


def record_words(mirror: Mapping[str, Any], *, is_audio_refused: bool = False) -> RecordWords:
    """Return the words for `state` and `reason`, as the API answers them for a record."""
    state, reason = MirrorState(mirror["state"]), mirror["reason"]
    if is_audio_refused and state is MirrorState.DELIVERED:
        phrase = f"{state.phrase}; {AudioCopyState.FAILED.phrase}"
        return RecordWords("bad", AUDIO_REFUSED, phrase, _ENDS_REFUSAL, _NEXT[state])
    return RecordWords(
        _TONES.get(state, "bad"),
        LABELS[state],
        _why(state, reason),
        _ends(state, reason),
        _NEXT.get(state, "once a person has decided"),
    )


def is_audio_refused(track: Mapping[str, Any], mirror: Mapping[str, Any]) -> bool:
    """Whether the PDS refused the audio of a track, by the API's answers for it and its mirror."""
    is_wanted = track["deleted_at"] is None and track["support_gate"] is None
    has_failed = mirror["blob_error"] is not None and mirror["reason"] != MirrorReason.BLOB
    return is_wanted and has_failed and track["audio_storage"] == SERVICE_ALONE


def rows_in_words(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the words to each of the API's undelivered records; one that is delivered is there for its audio."""
    return [{**each, "words": record_words(each, is_audio_refused=True)} for each in records]


def _why(state: MirrorState, reason: str | None) -> str:
    if reason is None:
        return state.phrase
    if (known := _REASONS.get(reason)) is not None:
        return known.phrase
    if state is MirrorState.PENDING:
        return f"the PDS answered {reason}; the relay tries again"
    return f"{state.phrase}: {reason}"


def _ends(state: MirrorState, reason: str | None) -> str | None:
    if state in {MirrorState.DELIVERED, MirrorState.PENDING}:  # neither waits for anything but the relay
        return None
    known = _REASONS.get(reason or "")
    if known is not None and known.exit and not known.exit.startswith(_REFERS):
        return known.exit
    return state.exit
