"""Record golden events for new topics: `python -m tests.golden.record`. What is there is never overwritten."""

import json
from typing import Any

from eventstore.change import copied
from projections.history import changes_between
from tests.every_event import every_event
from tests.golden.tape import (
    BEGINNINGS,
    CHANGES,
    CODEC,
    EVENTS,
    TOPICS,
    decoded,
    golden_changes,
    has_history,
    topics,
)


def main() -> None:
    EVENTS.mkdir(exist_ok=True)
    known = topics() if TOPICS.exists() else []
    for event in every_event():
        stored = CODEC.encode(event)
        if stored.topic not in known:
            known.insert(_place(known, stored.topic), stored.topic)
            (EVENTS / f"{stored.topic}.json").write_bytes(stored.state + b"\n")
    TOPICS.write_text("\n".join(known) + "\n")
    earlier = golden_changes() if CHANGES.exists() else {}
    CHANGES.write_text(json.dumps({**changes_of(known), **earlier}, indent=1, ensure_ascii=False) + "\n")


def _place(known: list[str], topic: str) -> int:
    """After the last one of its kind, in whose life it then is."""
    kind = topic.partition(".")[0]
    of_kind = [place for place, each in enumerate(known) if each.partition(".")[0] == kind]
    return of_kind[-1] + 1 if of_kind else len(known)


def changes_of(tape: list[str]) -> dict[str, list[dict[str, Any]]]:
    subject, changes = None, {}
    for topic in filter(has_history, tape):
        before = None if topic in BEGINNINGS else subject
        subject = decoded(topic).mutate(before and copied(before))
        changes[topic] = changes_between(before, subject)
    return changes


if __name__ == "__main__":
    main()
