"""The golden events: one per stored topic, in the order of the lives of some subjects of each kind, and of an account (topics.txt)."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import resolve_topic

from aggregates.accounts.account import Account
from aggregates.published import Owned
from eventstore.streams.codec import Codec
from tests.dsl import ALICE

HERE = Path(__file__).parent
TOPICS = HERE / "topics.txt"
EVENTS = HERE / "events"
CHANGES = HERE / "changes.json"
CODEC = Codec()
BEGINNINGS = (
    "track.registered.v1",
    "track.adopted.v1",
    "like.created.v1",
    "like.adopted.v1",
    "list.created.v1",
    "list.adopted.v1",
    "comment.created.v1",
    "comment.adopted.v1",
    "profile.created.v1",
    "profile.adopted.v1",
    "release.created.v1",
    "account.opened.v1",
)
"""The topics that a life begins with."""


def topics() -> list[str]:
    return TOPICS.read_text().split()


def stored(topic: str) -> bytes:
    """The state of the golden event of this topic, byte for byte as it was stored."""
    return (EVENTS / f"{topic}.json").read_bytes().rstrip(b"\n")


def place(topic: str) -> tuple[int, int]:
    """The id of the subject, and the version of it, that the golden event of this topic makes."""
    upto = topics()[: topics().index(topic) + 1]
    begins = [index for index, each in enumerate(upto) if each in BEGINNINGS]
    return len(begins), len(upto) - begins[-1]


def stream_of(topic: str) -> UUID:
    kind, (subject_id, _) = kind_of(topic), place(topic)
    return kind.create_id(ALICE) if issubclass(kind, Account) else kind.create_id(subject_id)


def decoded(topic: str) -> Any:
    return CODEC.decode(StoredEvent(str(stream_of(topic)), place(topic)[1], topic, stored(topic)))


def kind_of(topic: str) -> type[Owned | Account]:
    kind: type[Owned | Account] = resolve_topic(topic.partition(".")[0])
    return kind


def has_history(topic: str) -> bool:
    return not issubclass(kind_of(topic), Account)


def golden_changes() -> dict[str, list[dict[str, Any]]]:
    """Tell what each golden event changed when it was recorded."""
    changes: dict[str, list[dict[str, Any]]] = json.loads(CHANGES.read_text())
    return changes
