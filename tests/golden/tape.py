"""The golden events: one per stored topic, in the order of one track's life (topics.txt)."""

import json
from pathlib import Path
from typing import Any

from eventsourcing.persistence import StoredEvent

from aggregates.track import Track
from aggregates.transcodings import TRANSCODINGS
from eventstore.codec import Codec

HERE = Path(__file__).parent
TOPICS = HERE / "topics.txt"
EVENTS = HERE / "events"
CHANGES = HERE / "changes.json"
CODEC = Codec(TRANSCODINGS)


def topics() -> list[str]:
    """Name every topic that was ever stored."""
    return TOPICS.read_text().split()


def stored(topic: str) -> bytes:
    """Give the state of the golden event of this topic, byte for byte as it was stored."""
    return (EVENTS / f"{topic}.json").read_bytes().rstrip(b"\n")


def decoded(topic: str) -> Any:
    """Read the golden event as the log would."""
    version = topics().index(topic) + 1
    return CODEC.decode(StoredEvent(str(Track.create_id(1)), version, topic, stored(topic)))


def golden_changes() -> dict[str, list[dict[str, Any]]]:
    """Tell what each golden event changed when it was recorded."""
    changes: dict[str, list[dict[str, Any]]] = json.loads(CHANGES.read_text())
    return changes
