"""Events that were stored once replay for ever, to the same state."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic, resolve_topic

from aggregates.accounts.account import Account
from aggregates.published import event_classes
from aggregates.releases.release import Release
from aggregates.tracks.track import Track
from eventstore.change import copied
from eventstore.streams.codec import json_transcoder
from outbox.tracks.record import RecordUrls
from service.config.settings import Settings
from service.wiring.log import record_kinds
from tests.dsl import ALICE
from tests.every_event import every_event
from tests.golden.record import changes_of
from tests.golden.tape import (
    BEGINNINGS,
    CODEC,
    EVENTS,
    decoded,
    golden_changes,
    has_history,
    kind_of,
    place,
    stored,
    stream_of,
    topics,
)

RECORD = "record it with `python -m tests.golden.record`"
CURRENT = {CODEC.encode(event).topic: event for event in every_event()}


def recorded(event: Aggregate.Event) -> dict[str, object]:
    """What is stored of an event in its row's state."""
    of_the_row = {"originator_id", "originator_version"}
    return {name: value for name, value in vars(event).items() if name not in of_the_row}


def test_every_event_class_of_every_kind_has_a_golden_event() -> None:
    of_records = record_kinds(Settings(), RecordUrls("https://music.test"))
    kinds = [*(each.aggregate for each in of_records), Release, Account]
    classes = {get_topic(each) for kind in kinds for each in event_classes(kind)}
    assert classes <= set(topics()), RECORD
    assert classes == set(CURRENT), "tests.every_event must make one event of each class"


def test_every_stored_topic_has_its_golden_event_and_every_golden_event_its_topic() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == {*topics()}
    assert [*golden_changes()] == [*filter(has_history, topics())]


def test_a_stored_topic_is_known_and_versioned() -> None:
    for topic in topics():
        assert issubclass(resolve_topic(topic), kind_of(topic).Event)
        assert re.fullmatch(r"[a-z]+\.[a-z_]+\.v[1-9][0-9]*", topic)


def test_the_topic_of_the_aggregate_is_stored_too_and_never_changes() -> None:
    for began, aggregate in (("track.registered.v1", Track), ("account.opened.v1", Account)):
        name = began.partition(".")[0]
        assert json.loads(stored(began))["originator_topic"] == name
        assert resolve_topic(name) is aggregate


def test_a_golden_event_is_read_as_the_librarys_mapper_reads_it() -> None:
    for topic in topics():
        event = decoded(topic)
        row = StoredEvent(event.originator_id, event.originator_version, topic, stored(topic))
        read = Mapper(json_transcoder()).to_domain_event(row)
        assert (type(event), vars(event)) == (type(read), vars(read))


def test_a_golden_event_is_read_as_the_event_that_was_recorded() -> None:
    for topic in topics():
        event = decoded(topic)
        assert (event.originator_id, event.originator_version) == (stream_of(topic), place(topic)[1])
        assert recorded(event) == recorded(CURRENT.get(topic, event))


@pytest.mark.parametrize("topic", CURRENT)
def test_the_same_event_is_written_as_before(topic: str) -> None:
    assert CODEC.encode(CURRENT[topic]).state == stored(topic), "another shape needs another topic version"


def test_a_replay_of_the_golden_events_changes_what_it_changed_then() -> None:
    assert changes_of(topics()) == golden_changes()


def test_a_replay_changes_no_state_in_place_and_the_life_of_an_account_ends_where_it_began() -> None:
    last: dict[type, Any] = {}
    for topic in topics():
        before = None if topic in BEGINNINGS else last[kind_of(topic)]
        kept = deepcopy(before)
        last[kind_of(topic)] = decoded(topic).mutate(before and copied(before))
        assert before == kept
    account = last[Account]
    assert (account.id, account.did, account.connected) == (Account.create_id(ALICE), ALICE, False)
    assert (account.sessions, account.tokens, account.leaving_since) == ({}, {}, None)
