"""Selects the changes of tracks; the log holds those of accounts too."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aggregates.track import Track
from aggregates.track_events import TrackEvent
from eventstore.change import Change


class TrackChange(NamedTuple):
    """A change of a track: what the log recorded, and the track before and after it."""

    recorded: Change
    event: TrackEvent
    before: Track | None
    after: Track


def track_changes(changes: Sequence[Change]) -> Iterator[TrackChange]:
    """Pick the changes of tracks, in their order."""
    for change in changes:
        event, before, after = change.event, change.before, change.after
        if isinstance(event, TrackEvent) and isinstance(after, Track):
            yield TrackChange(change, event, before if isinstance(before, Track) else None, after)
