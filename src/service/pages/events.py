"""The events as the page docs/events.md: `python -m service.pages.events > docs/events.md`."""

import sys
from dataclasses import fields
from typing import Any, Final

from eventsourcing.utils import get_topic

from aggregates.account_events import AccountEvent
from aggregates.catalogue import account_event_classes, event_classes
from aggregates.track import Track
from aggregates.track_events import TrackEvent
from aggregates.transcodings import TRANSCODINGS

HEAD: Final = """\
# Events

What the log holds, in the order of a track's life. A topic is stored data: it is never renamed, and every stored
version replays forever (tests/golden/). The envelope of the row holds account, actor, way, request and time (did, actor, via,
request_id, recorded_at); the event does not repeat them. Every event also carries `timestamp`, the time of its command.

<!-- generated from src/aggregates/ by `python -m service.pages.events`; a test checks that it is current -->

| event | topic | carries | touches the record | made by | meaning |
|---|---|---|---|---|---|
"""
ACCOUNTS_HEAD: Final = """
## Accounts

What people and operators did, in the same log: each event belongs to the account that the envelope's `did` names, or to the
operator, if it was done to a host or to all accounts. No event holds a token or its hash.

| event | topic | carries | meaning |
|---|---|---|---|
"""
VALUES_HEAD: Final = """
## Values

Written as `{"_type_": name, "_data_": {...}}`.

| value | name | fields | meaning |
|---|---|---|---|
"""
ENVELOPE: Final = frozenset({"originator_id", "originator_version", "originator_topic", "timestamp"})


def page() -> str:
    """Return the page."""
    events = "".join(_event_row(event) for event in event_classes())
    accounts = "".join(_account_row(event) for event in account_event_classes())
    values = "".join(_value_row(each.type, each.name) for each in TRANSCODINGS)
    return HEAD + events + ACCOUNTS_HEAD + accounts + VALUES_HEAD + values


def _event_row(event: type[TrackEvent]) -> str:
    touches = "yes, unless only tags" if event is Track.MetadataUpdated else _yes(event.TOUCHES_RECORD)
    by = "relay" if event.BY_RELAY else "operators" if event.BY_OPERATOR else "people"
    topic = get_topic(event)
    return f"| {event.__name__} | `{topic}` | {_carried(event)} | {touches} | {by} | {_doc(event)} |\n"


def _account_row(event: type[AccountEvent]) -> str:
    return f"| {event.__name__} | `{get_topic(event)}` | {_carried(event)} | {_doc(event)} |\n"


def _value_row(value: type, name: str) -> str:
    return f"| {value.__name__} | `{name}` | {_carried(value)} | {_doc(value)} |\n"


def _carried(carrier: Any) -> str:
    names = [field.name for field in fields(carrier) if field.name not in ENVELOPE]
    return ", ".join(names) or "-"


def _doc(documented: type) -> str:
    """Return the nearest docstring; that of a dataclass without one is its signature."""
    written = (
        each for each in documented.__mro__ if not (each.__doc__ or "").startswith(f"{each.__name__}(")
    )
    return " ".join((next(written).__doc__ or "").split())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    sys.stdout.write(page())
