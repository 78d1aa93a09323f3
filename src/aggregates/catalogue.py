"""Lists the event classes."""

from collections.abc import Iterator

from aggregates.account import Account
from aggregates.account_events import AccountEvent
from aggregates.track import Track
from aggregates.track_events import TrackEvent


def event_classes() -> Iterator[type[TrackEvent]]:
    """Yield the event classes of a track, in the order of its life."""
    for member in vars(Track).values():
        if isinstance(member, type) and issubclass(member, TrackEvent) and member is not TrackEvent:
            yield member


def account_event_classes() -> Iterator[type[AccountEvent]]:
    """Yield the event classes of an account, in the order of its life."""
    for member in vars(Account).values():
        if isinstance(member, type) and issubclass(member, AccountEvent) and member is not AccountEvent:
            yield member
