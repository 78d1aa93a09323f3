"""What people read of states and causes: artists of their lane and the marks of their tracks, operators of records, and what to do.

The states themselves say what they are (`phrase`) and what ends them (`exit`) to those who know the service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from api.responses.states import (
    OUR_ERRORS,
    PARKING,
    AudioCopyState,
    DriftKind,
    JobState,
    LaneState,
    MirrorReason,
    MirrorState,
    UnsentOutcome,
    VerdictKind,
)


class Mark(StrEnum):
    """What a person sees of a mirror, as it is in addresses."""

    ON_PDS = "on-pds"
    ON_ITS_WAY = "on-its-way"
    WAITING = "waiting"
    HELD = "held"
    REFUSED = "refused"


class Act(StrEnum):
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
class LaneWords:
    """A lane: its headline and explanation are for the artist, as `waits_until` is, which goes on from "as soon as".

    `tone` is the colour of the mark: good, wait or bad. `advice` is what an operator does; `mark` is that of the records that wait.
    """

    tone: str
    headline: str
    explanation: str
    waits_until: str = ""
    advice: str = ""
    mark: Mark = Mark.ON_ITS_WAY
    act: Act | None = None
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
        "you have signed in again",
        "Ask the artist to sign in again. What waits is sent then.",
        Mark.WAITING,
        Act.SIGN_IN,
        signs_in=True,
    ),
    LaneState.INACTIVE: LaneWords(
        "bad",
        "Your account is not active at your PDS.",
        "It is deactivated, suspended or taken down there. Reactivate it at your PDS; mastertape looks every now and then.",
        "your account at your PDS is active again",
        "Ask the artist to reactivate the account at its PDS; that is noticed by itself, or at once with “Look for it”.",
        Mark.WAITING,
        Act.RETRY,
    ),
    LaneState.FULL: LaneWords(
        "bad",
        "Your storage at your PDS is full.",
        "Make room there, or delete a track. What you change is kept here; mastertape tries again each day.",
        "your storage at your PDS has room again",
        "Ask the artist to make room at its PDS; it is tried again each day, or at once with “Look for it”.",
        Mark.WAITING,
        Act.RETRY,
    ),
    LaneState.STALE: LaneWords(
        "wait",
        "Your PDS does not know your account.",
        "If you have moved to another PDS, sign in again. mastertape looks where your account is.",
        "your PDS knows your account again",
        "Nothing: the account is looked for by itself, or at once with “Look for it”. If it has moved, its artist can sign in again.",
        act=Act.RETRY,
        signs_in=True,
    ),
    LaneState.GONE: LaneWords(
        "bad",
        "Your account has not been found for days.",
        "No directory knows it. If it exists, sign in again.",
        "your account is found again, or you have signed in again",
        "Ask the artist to sign in again. If the account exists, “Look for it” finds it.",
        Mark.WAITING,
        Act.SIGN_IN,
        signs_in=True,
    ),
    MirrorReason.PAUSED: LaneWords(
        "wait",
        "Deliveries to your PDS are paused.",
        "The operator of this service has paused them. What you change is kept here, and is sent afterwards.",
        "the operator of this service ends the pause",
        "Resume it when what it was paused for is over: nothing is sent until then.",
    ),
    MirrorReason.RESTORED: LaneWords(
        "wait",
        "Your records are compared first.",
        "The database of this service was restored from a backup. Before anything is written, your PDS is compared with the log.",
        "your records were compared",
        "Run `mastertape recovered`, then `mastertape verify pds`: its records are compared first.",
    ),
    MirrorReason.PDS_AWAY: LaneWords(
        "wait",
        "Your PDS does not answer.",
        "Nothing is lost: what waits is kept here, and is sent as soon as your PDS answers again.",
        "your PDS answers again",
        "Nothing: delivery resumes by itself when its PDS answers.",
    ),
    MirrorReason.BACKOFF: LaneWords(
        "wait",
        "Your PDS did not take the last change.",
        "Nothing is lost: what waits is kept here, and is sent again by itself.",
        "your PDS takes changes again",
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
        return TONES[self.mark]


_Meaning = tuple[Mark, str, Act | None]
_KEPT: Final = "Your changes are kept."
TOO_LARGE: Final = "PayloadTooLargeError"
"""The error of a PDS for a record over its limit."""
_PENDING: Final[Mapping[str, tuple[str, Act | None]]] = {
    MirrorReason.SENDING: ("It is being sent to your PDS.", None),
    MirrorReason.BLOB: ("Its audio is being copied to your PDS.", None),
    MirrorReason.BACKOFF: ("Your PDS did not take it just now. It is sent again by itself.", Act.RETRY),
    MirrorReason.PACED: ("Your PDS asked for a pause. It is sent after it.", None),
    MirrorReason.VERIFYING: ("It is being made sure that the record is gone.", None),
    MirrorReason.SUCCESSOR: ("Its record is moving to another collection.", None),
}
_MEANINGS: Final[Mapping[tuple[str, str | None], _Meaning]] = {
    **{(MirrorState.PENDING, reason): (Mark.ON_ITS_WAY, *words) for reason, words in _PENDING.items()},
    **{
        (MirrorState.PARKED, reason): (words.mark, f"{words.headline} {_KEPT}", words.act)
        for reason, words in BY_REASON.items()
        if reason in _PARKS
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
    **{reason: words.waits_until for reason, words in BY_REASON.items()},
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
    marks = {state: meaning[0] for state, meaning in _OTHERWISE.items()}
    if (MirrorState.PARKED, parked_for) in _MEANINGS:
        marks[MirrorState.PARKED] = _MEANINGS[MirrorState.PARKED, parked_for][0]
    return [state for state, its_mark in marks.items() if its_mark is mark]


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
COPIES: Final[Mapping[str, str]] = {
    AudioCopyState.UNASKED: "will be copied",
    AudioCopyState.FAILED: "will be tried again: your PDS refused it before",
    AudioCopyState.WANTED: "is being copied already",
    AudioCopyState.UPLOADED: "is on your PDS already",
    AudioCopyState.GATED: "stays here, since they are for supporters only",
    AudioCopyState.DELETED: "stays here, since they are deleted",
}
ADOPTIONS: Final[Mapping[str, str]] = {
    JobState.WAITING: "Your PDS is being read",
    JobState.RUNNING: "Your PDS is being read",
    JobState.DONE: "Your PDS was read",
    JobState.FAILED: "Your PDS could not be read",
}
"""By the state of an adoption; of one that was never asked for, there is nothing to say."""
DRIFTS: Final[Mapping[str, str]] = {
    DriftKind.MISSING: "deleted on your PDS",
    DriftKind.FOREIGN_EDIT: "changed by another program",
    DriftKind.STALE: "older than the log",
    DriftKind.NEWER: "newer than the log",
    DriftKind.UNDELETED: "deleted here, there again",
    DriftKind.UNKNOWN: "not one of your tracks",
    DriftKind.OUTDATED: "written before an address changed",
    DriftKind.BLOB_MISSING: "its audio is not on your PDS",
    DriftKind.WITHDRAWN: "as before another program changed it",
}


def of_its_pds(words: str) -> str:
    """Tell an operator what is told the owner of a PDS."""
    return words.replace("your", "its")


RECORDS: Final[Mapping[str, str]] = {
    MirrorState.PENDING: "On its way",
    MirrorState.PARKED: "Parked",
    MirrorState.HELD: "Held",
    MirrorState.DETACHED: "Deleted elsewhere",
    MirrorState.REJECTED: "Refused by the PDS",
    MirrorState.DELIVERED: "Record delivered",
}
"""What operators read, by the state of a mirror."""
AUDIO_REFUSED: Final = "Record delivered, its audio refused"
_RECORD_TONES: Final[Mapping[str, str]] = {MirrorState.DELIVERED: "good", MirrorState.PENDING: "wait"}
_NEXT: Final[Mapping[str, str]] = {
    MirrorState.PENDING: "with the next run",
    MirrorState.PARKED: "when that ends",
    MirrorState.DELIVERED: "none",
}
_REASONS: Final[Mapping[str, MirrorReason | LaneState]] = {
    each.value: each for each in (*MirrorReason, *LaneState)
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
    why = state.phrase
    if reason in _REASONS:
        why = _REASONS[reason].phrase
    elif reason is not None and state is MirrorState.PENDING:
        why = f"the PDS answered {reason}; the relay tries again"
    elif reason is not None:
        why = f"{why}: {reason}"
    return RecordWords(
        _RECORD_TONES.get(state, "bad"),
        RECORDS[state],
        why,
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


def _ends(state: MirrorState, reason: str | None) -> str | None:
    if state in {MirrorState.DELIVERED, MirrorState.PENDING}:  # neither waits for anything but the relay
        return None
    known = _REASONS.get(reason or "")
    if known is not None and known.exit and not known.exit.startswith(_REFERS):
        return known.exit
    return state.exit


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
    VerdictKind.BROKEN: "Report the error: it is a fault of this service. Redrive once it is mended.",
    **{kind: BY_REASON[parking.state].advice for kind, parking in PARKING.items()},
}
"""What an operator does about a cause, by its `kind`."""
OUR_FAULT: Final = (
    "Nothing was sent, and the fault is here: if it does not pass within minutes, run `mastertape doctor`."
)
NONE_WAITS: Final = "Nothing: no record waits for it any more."


def about_cause(cause: Mapping[str, Any]) -> str:
    if not cause["records"] and cause["kind"] not in PARKING:
        return NONE_WAITS
    return OUR_FAULT if cause["error"] in OUR_ERRORS else ABOUT_KIND.get(cause["kind"], BY_ITSELF)


def about_wait(wait: Mapping[str, Any]) -> str:
    """Say what an operator does about records that wait, or that fail, for one reason."""
    match wait["state"]:
        case MirrorState.PARKED:
            return BY_REASON[wait["reason"]].advice
        case MirrorState.REJECTED:
            return ABOUT_KIND[VerdictKind.REJECTED]
        case MirrorState.PENDING:
            return BY_ITSELF
    return "Nothing: their artists decide about them."


def about_host(host: Mapping[str, Any]) -> str:
    if host["paused"]:
        return BY_REASON[MirrorReason.PAUSED].advice
    if host["failing_since"] is None:
        return "Nothing: it works."
    if not host["waiting"]:
        return NONE_WAITS
    return ABOUT_KIND[VerdictKind.NOT_SENT]
