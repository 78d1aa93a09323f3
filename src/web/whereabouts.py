"""Says of a track, or of another record, what is where: its record, its audio and its cover.

Pages, messages, marks, colours, filters and counts have it from here alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.responses.states import AudioCopyState, MirrorReason, MirrorState
from web.ask import Json
from web.state_words import BY_REASON, ON_PDS, WORDS, Act, Mark, Meaning


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


def _part(mark: Mark, words: str) -> Shown:
    return Shown(mark, mark.label, words)


@dataclass(frozen=True)
class Whereabouts:
    """Where the parts are of what is published; only a track has `audio`."""

    record: Shown
    audio: Shown | None
    cover: Shown | None

    @property
    def whole(self) -> Shown:
        """The record's, unless all that is wrong is that the PDS refuses the audio."""
        is_refused = self.audio is not None and self.audio.mark is Mark.AUDIO_REFUSED
        return self.audio if self.audio and is_refused and self.record.mark is Mark.ON_PDS else self.record


def where_is(
    subject: Json, mirror: Json | None = None, without_record: str = "It has no record on your PDS."
) -> Whereabouts:
    """Return where the parts are, by the API's answer for its owner; `mirror` is that of its own route, which says more.

    What wants no record has no mirror in the answer, but one of its own while a record is still to be deleted.
    """
    known, is_deleted = mirror or subject["mirror"], subject.get("deleted_at") is not None
    wants_record = subject["mirror"] is not None
    is_gone = (
        not (wants_record or is_deleted) and known is not None and known["state"] == MirrorState.DELIVERED
    )
    if known is None or is_gone:
        record = _part(Mark.HERE, without_record)
    else:
        record = shown(known, is_deleted=is_deleted or not wants_record)
    return Whereabouts(record, _audio(subject, record, known), _cover(subject))


_KEPT: Final = "Your changes are kept."
_PARKS: Final = frozenset(BY_REASON) - {MirrorReason.PDS_AWAY, MirrorReason.BACKOFF}
NEEDS_CONSENT: Final = WORDS.mirrors[MirrorState.PARKED][MirrorReason.NEEDS_CONSENT].words


def shown(mirror: Json, *, is_deleted: bool = False) -> Shown:
    """Return where a record is, or how far an event of it got, by a state and its reason."""
    state, reason = mirror["state"], mirror["reason"]
    if state == MirrorState.PARKED and reason in _PARKS:
        lane = BY_REASON[reason]
        found = Meaning(words=f"{lane.headline} {_KEPT}", act=lane.act)
    else:
        of_state = WORDS.mirrors[state]
        found = of_state.get(reason) or of_state["other"]
    mark = mark_of(state, reason)
    label, words = mark.label, found.words.format(reason=reason)
    if is_deleted:
        label, words = WORDS.deleted.get(state, (label, words))
    return Shown(mark, label, words, found.act, mirror.get("next_attempt_at"))


def mark_of(state: Any, reason: str | None) -> Mark:
    return BY_REASON[reason].mark if state == MirrorState.PARKED and reason in _PARKS else WORDS.marks[state]


def _audio(subject: Json, record: Shown, mirror: Json | None) -> Shown | None:
    if "audio_copy" not in subject or subject["audio_copy"] == AudioCopyState.DELETED:
        return None
    state = subject["audio_copy"]
    if state == AudioCopyState.UPLOADED and subject["audio_storage"] == BOTH:
        state = ON_PDS
    words = WORDS.audio[state]
    if state == AudioCopyState.FAILED:
        said = (mirror or {}).get("blob_error") or subject["audio_refused"]
        return _part(words.mark, f"{words.words} {why_refused(said, subject['audio_size'])}")
    if words.mark is Mark.ON_ITS_WAY and record.mark not in {Mark.ON_PDS, Mark.ON_ITS_WAY}:
        return Shown(record.mark, record.label, f"{words.words} {record.reason}", until=record.until)
    return _part(words.mark, words.words)


BOTH: Final = "both"
"""The `audio_storage` of a track whose record on the PDS names the audio."""
BLOB_TOO_LARGE: Final = "too_large"
_LIMIT: Final = re.compile(r"blobs of up to (\d+) bytes")


def why_refused(error: str, size: int | None = None) -> str:
    """Say why a PDS refused audio of so many bytes, how many are too many where it named its limit, and what helps."""
    name, _, message = error.partition(": ")
    if name != BLOB_TOO_LARGE:
        return f"It answered {error.rstrip('.: ')}. Replace the audio, or try again."
    if size is None or (limit := _LIMIT.search(message)) is None:
        return "It is larger than your PDS takes. Replace it by a smaller file."
    most = int(limit[1])
    return f"It has {size:,} bytes, and your PDS takes {most:,}: {size - most:,} too many. Replace it by a smaller file."


def is_audio_refused(track: Json, mirror: Json) -> bool:
    """Whether the PDS refused the audio of a track, by the public answer for it and its mirror."""
    is_wanted = track["deleted_at"] is None and track["support_gate"] is None
    has_failed = mirror["blob_error"] is not None and mirror["reason"] != MirrorReason.BLOB
    return is_wanted and has_failed and track["audio_storage"] != BOTH


def may_copy(track: Json) -> bool:
    """Whether its owner may ask for a copy of the audio on the PDS."""
    return track["audio_copy"] in {AudioCopyState.UNASKED, AudioCopyState.FAILED}


def _cover(subject: Json) -> Shown | None:
    if subject.get("image_url") is None:
        return None
    if subject["thumbnail_url"] is None:
        return Shown(Mark.HERE, "Elsewhere", WORDS.covers["elsewhere"])
    return _part(Mark.HERE, WORDS.covers["here"])


def for_listeners(mirror: Json, cid: str | None) -> Shown:
    """Return where a record is, as visitors of its public page read it; with a `cid` its PDS has some version of it."""
    state, words = mirror["state"], WORDS.listeners
    if cid is not None and state not in {MirrorState.DELIVERED, MirrorState.DETACHED}:
        state = "there_pending" if state == MirrorState.PENDING else "there"
    return Shown(mark_of(mirror["state"], mirror["reason"]), words.get(state, words["other"]), "")


def what_saving_does(mirror: Json, lane_reason: str | None) -> str:
    waits_alone = {MirrorReason.MIGRATION_NEEDED, MirrorReason.PACED, MirrorReason.BACKOFF}
    if mirror["state"] in {MirrorState.HELD, MirrorState.DETACHED} or mirror["reason"] in waits_alone:
        return f"Kept here for now. {shown(mirror).reason}"
    if lane_reason is not None:
        return f"Kept here for now. {BY_REASON[lane_reason].headline}"
    return "Goes to your PDS at once."


_NOT_REFUSED: Final = [state.value for state in AudioCopyState if state is not AudioCopyState.FAILED]


def states_of(mark: Mark, parked_for: str | None) -> list[str]:
    """Return the states of mirrors with this mark; `parked_for` is why the account's lane waits, if it does."""
    return [state for state in WORDS.marks if mark_of(state, parked_for) is mark]


def filter_of(mark: Mark, parked_for: str | None) -> Mapping[str, list[str]] | None:
    """Return what finds the tracks with this mark among one's own; None where no track has it."""
    if mark is Mark.AUDIO_REFUSED:
        return {"mirror": states_of(Mark.ON_PDS, parked_for), "audio": [AudioCopyState.FAILED]}
    states = states_of(mark, parked_for)
    return {"mirror": states, "audio": _NOT_REFUSED if mark is Mark.ON_PDS else []} if states else None


def count_by_mark(
    counts: Mapping[str, int], parked_for: str | None, audio_refused: int = 0
) -> dict[Mark, int]:
    """Count by mark what is counted by state; of the delivered ones, so many are tracks whose audio is refused."""
    found = {mark: sum(counts.get(state, 0) for state in states_of(mark, parked_for)) for mark in Mark}
    found[Mark.ON_PDS] -= audio_refused
    return {**found, Mark.AUDIO_REFUSED: audio_refused}
