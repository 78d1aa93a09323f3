"""Events that were stored once replay for ever, to the same state."""

import json
import re

import pytest
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic, resolve_topic

from aggregates.published import event_classes
from aggregates.published_events import PublishedEvent
from aggregates.releases.release import Release
from aggregates.releases.release_events import ReleaseEvent
from aggregates.tracks.track import Track
from eventstore.streams.codec import json_transcoder
from outbox.tracks.record import RecordUrls
from service.config.settings import Settings
from service.wiring.log import record_kinds
from tests.every_event import every_event
from tests.golden import accounts
from tests.golden.record import changes_of
from tests.golden.tape import CODEC, EVENTS, decoded, golden_changes, kind_of, place, stored, topics

RECORD = "record it with `python -m tests.golden.record`"
CURRENT = {CODEC.encode(event).topic: event for event in every_event()}


def recorded(event: PublishedEvent | ReleaseEvent) -> dict[str, object]:
    """What is stored of an event in its row's state."""
    of_the_row = {"originator_id", "originator_version"}
    return {name: value for name, value in vars(event).items() if name not in of_the_row}


def test_every_event_class_of_every_kind_has_a_golden_event() -> None:
    of_records = record_kinds(Settings(), RecordUrls("https://music.test"))
    kinds = [*(each.aggregate for each in of_records), Release]
    classes = {get_topic(each) for kind in kinds for each in event_classes(kind)}
    assert classes <= set(topics()), RECORD
    assert classes == set(CURRENT), "tests.every_event must make one event of each class"


def test_every_stored_topic_has_its_golden_event_and_every_golden_event_its_topic() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == {*topics(), *accounts.topics()}
    assert list(golden_changes()) == topics()


@pytest.mark.parametrize("topic", topics())
def test_a_stored_topic_is_known_and_versioned(topic: str) -> None:
    assert issubclass(resolve_topic(topic), kind_of(topic).Event)
    assert re.fullmatch(r"[a-z]+\.[a-z_]+\.v[1-9][0-9]*", topic)


def test_the_topic_of_the_aggregate_is_stored_too_and_never_changes() -> None:
    assert json.loads(stored("track.registered.v1"))["originator_topic"] == "track"
    assert resolve_topic("track") is Track


@pytest.mark.parametrize("topic", topics())
def test_a_golden_event_is_read_as_the_librarys_mapper_reads_it(topic: str) -> None:
    event = decoded(topic)
    row = StoredEvent(event.originator_id, event.originator_version, topic, stored(topic))
    read = Mapper(json_transcoder()).to_domain_event(row)
    assert (type(event), vars(event)) == (type(read), vars(read))


@pytest.mark.parametrize("topic", topics())
def test_a_golden_event_is_read_as_the_event_that_was_recorded(topic: str) -> None:
    event = decoded(topic)
    subject_id, version = place(topic)
    assert (event.originator_id, event.originator_version) == (kind_of(topic).create_id(subject_id), version)
    if topic in CURRENT:
        assert recorded(event) == recorded(CURRENT[topic])


@pytest.mark.parametrize("topic", CURRENT)
def test_the_same_event_is_written_as_before(topic: str) -> None:
    assert CODEC.encode(CURRENT[topic]).state == stored(topic), "another shape needs another topic version"


def test_a_replay_of_the_golden_events_changes_what_it_changed_then() -> None:
    assert changes_of(topics()) == golden_changes()
