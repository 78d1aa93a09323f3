"""Decides whether a recording can be that of one register for each track. It knows requests, answers and records, nothing of the service.

A track is a register with versions: each write makes the next one. The final history says in which order writes took effect; all else
that was answered has to agree with it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import takewhile

from tests.blackbox.recording import WRITES, Call, Entry, Kind, Look, Recording

BEGINNINGS = frozenset({"Created", "Undeleted"})
DELETED = "Deleted"


def faults(recording: Recording) -> list[str]:
    """Return a sentence for each thing that no correct service could have answered."""
    tracks = {call.track for call in recording.calls}
    return [fault for track in sorted(tracks) for fault in _of_track(recording, track)]


@dataclass(frozen=True)
class State:
    """After a version: the title, None while the track is deleted."""

    version: int
    title: str | None


def _of_track(recording: Recording, track: int) -> Iterator[str]:
    calls = [call for call in recording.calls if call.track == track]
    histories = [call for call in calls if call.kind is Kind.HISTORY and call.is_acknowledged]
    final = max(histories, key=lambda call: call.sent_at).entries
    writes = [call for call in calls if call.kind in WRITES]
    states = list(_states(final))
    yield from _history_is_whole(track, final)
    yield from _histories_only_grow(track, histories)
    yield from _writes_are_in_it_once(track, writes, final)
    yield from _order_agrees_with_time(track, writes, final)
    yield from _conditions_held(track, writes, final)
    changed = {entry.request for entry in final}
    reads = [call for call in calls if _is_read(call, changed)]
    yield from _reads_are_of_their_time(track, reads, writes, final, states)
    yield from _records_never_go_back(
        track, [look for look in recording.looks if look.track == track], states
    )
    for look in recording.end:
        if look.track == track and look.title != states[-1].title:
            yield f"track {track}: the PDS ends with {look.title!r}, the history with {states[-1].title!r}"


def _states(entries: Sequence[Entry]) -> Iterator[State]:
    title, is_deleted = None, False
    for entry in entries:
        title = entry.title or title
        is_deleted = entry.type == DELETED or (is_deleted and entry.type not in BEGINNINGS)
        yield State(entry.version, None if is_deleted else title)


def _history_is_whole(track: int, entries: Sequence[Entry]) -> Iterator[str]:
    versions = [entry.version for entry in entries]
    if versions != list(range(1, len(entries) + 1)):
        yield f"track {track}: the versions of its history are {versions}"
    positions = [entry.position for entry in entries]
    if positions != sorted(set(positions)):
        yield f"track {track}: the positions of its history are not in its order: {positions}"


def _histories_only_grow(track: int, histories: Sequence[Call]) -> Iterator[str]:
    for earlier in histories:
        for later in histories:
            if earlier.over_at < later.sent_at and later.entries[: len(earlier.entries)] != earlier.entries:
                yield f"track {track}: the history read at {later.sent_at} does not continue that read at {earlier.sent_at}"


def _writes_are_in_it_once(track: int, writes: Sequence[Call], entries: Sequence[Entry]) -> Iterator[str]:
    times = Counter(entry.request for entry in entries)
    found = {entry.request: entry for entry in entries}
    for call in writes:
        if call.is_acknowledged and call.kind is Kind.EDIT and not times[call.request]:
            yield f"track {track}: {call.request} was acknowledged, and is not in the history"
        if call.is_refused and times[call.request]:
            yield f"track {track}: {call.request} was refused, and is in the history"
        if times[call.request] > 1:
            yield f"track {track}: {call.request} is in the history {times[call.request]} times"
        entry = found.get(call.request)
        if entry is not None and call.kind is Kind.EDIT and entry.title != call.title:
            yield f"track {track}: {call.request} asked for {call.title!r}; the history has {entry.title!r}"
        if entry is not None and call.is_acknowledged and call.version not in {None, entry.version}:
            yield f"track {track}: {call.request} was told version {call.version}, the history has {entry.version}"


def _order_agrees_with_time(track: int, writes: Sequence[Call], entries: Sequence[Entry]) -> Iterator[str]:
    versions = {entry.request: entry.version for entry in entries}
    done = [call for call in writes if call.request in versions]
    for first in done:
        for second in done:
            is_before = first.is_acknowledged and first.over_at < second.sent_at
            if is_before and versions[first.request] > versions[second.request]:
                yield f"track {track}: {first.request} was answered before {second.request} was sent, and comes after it"


def _conditions_held(track: int, writes: Sequence[Call], entries: Sequence[Entry]) -> Iterator[str]:
    versions = {entry.request: entry.version for entry in entries}
    for call in writes:
        version = versions.get(call.request)
        if call.if_match is not None and version not in {None, call.if_match + 1}:
            yield f"track {track}: {call.request} was for version {call.if_match}, and made {version}"


def _reads_are_of_their_time(
    track: int,
    reads: Sequence[Call],
    writes: Sequence[Call],
    entries: Sequence[Entry],
    states: Sequence[State],
) -> Iterator[str]:
    versions = {entry.request: entry.version for entry in entries}
    sent = {call.request: call.sent_at for call in writes}
    for read in reads:
        known = [
            versions[each.request] for each in writes if _is_told(each, read) and each.request in versions
        ]
        seen = [each.version for each in reads if each.over_at < read.sent_at and each.version is not None]
        at_least = max([1, *known, *seen])
        begun = takewhile(lambda entry: sent.get(entry.request, 0.0) < read.over_at, entries)  # noqa: B023 - used at once
        at_most = max(entry.version for entry in begun)
        possible = [state for state in states if at_least <= state.version <= at_most]
        if not any(_shows(read, state) for state in possible):
            yield (
                f"track {track}: a read at {read.sent_at} shows version {read.version}, {read.title!r}; "
                f"possible were {[(each.version, each.title) for each in possible]}"
            )


def _is_read(call: Call, changed: AbstractSet[str]) -> bool:
    """Whether the answer shows a state: so does that of a write which found nothing to change."""
    if call.kind is Kind.READ:
        return call.status in {200, 404, 410}
    return call.kind in {Kind.DELETE, Kind.UNDELETE} and call.is_acknowledged and call.request not in changed


def _is_told(write: Call, read: Call) -> bool:
    return write.is_acknowledged and write.over_at < read.sent_at


def _shows(read: Call, state: State) -> bool:
    return read.title == state.title and read.version in {None, state.version}


def _records_never_go_back(track: int, looks: Sequence[Look], states: Sequence[State]) -> Iterator[str]:
    """A title is written once: what has it is of that version or a later one with the same title."""
    last: Mapping[str | None, int] = {state.title: state.version for state in states}
    newest = 0
    for look in sorted(looks, key=lambda each: each.at):
        if look.title is None:
            continue
        if look.title not in last:
            yield f"track {track}: the PDS had {look.title!r}, which nobody asked for"
        elif last[look.title] < newest:
            yield f"track {track}: the PDS had {look.title!r} after a newer one"
        else:
            newest = min(state.version for state in states if state.title == look.title)
