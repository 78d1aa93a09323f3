"""Events of accounts that were stored once replay for ever, to the same state, and hold no secret."""

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from eventsourcing.utils import get_topic, resolve_topic

from aggregates.accounts.account import Account
from aggregates.published import event_classes
from eventstore.change import copied
from tests.dsl import ALICE
from tests.golden.accounts import a_life, decoded, topics
from tests.golden.tape import CODEC, EVENTS, stored

CURRENT = a_life()
LIFE = [
    "Opened", "SignedIn", "TokenIssued", "TokenRevoked", "SignedOut", "Disconnected", "OperatorActed",
    "LeaveRequested", "Left", "ProfileUpdated",
]  # fmt: skip


def test_every_event_class_of_an_account_has_a_golden_event() -> None:
    classes = {get_topic(each) for each in event_classes(Account)}
    assert classes <= set(topics()), "record it with `python -m tests.golden.record`"
    assert classes == set(CURRENT), "tests.golden.accounts.a_life must make one event of each class"
    assert [type(event).__name__ for event in CURRENT.values()] == LIFE


def test_every_stored_topic_of_an_account_has_its_golden_event() -> None:
    assert sorted(path.stem for path in EVENTS.glob("account.*.json")) == sorted(topics())


@pytest.mark.parametrize("topic", topics())
def test_a_stored_topic_of_an_account_is_known_and_versioned(topic: str) -> None:
    assert issubclass(resolve_topic(topic), Account.Event)
    assert re.fullmatch(rf"{Account.TOPIC}\.[a-z_]+\.v[1-9][0-9]*", topic)


def test_the_topic_of_the_aggregate_is_stored_too() -> None:
    assert json.loads(stored("account.opened.v1"))["originator_topic"] == "account"
    assert resolve_topic("account") is Account


@pytest.mark.parametrize("topic", topics())
def test_a_golden_event_is_read_and_written_as_it_was(topic: str) -> None:
    event = decoded(topic)
    if topic in CURRENT:
        assert event == CURRENT[topic]
        assert CODEC.encode(CURRENT[topic]).state == stored(topic), (
            "another shape needs another topic version"
        )


def test_a_replay_of_a_whole_life_ends_where_it_began_and_changes_no_state_in_place() -> None:
    account: Any = None
    for topic in topics():
        before, kept = account, deepcopy(account)
        account = decoded(topic).mutate(before and copied(before))
        assert before == kept
    assert (account.id, account.did, account.connected) == (Account.create_id(ALICE), ALICE, False)
    assert (account.sessions, account.tokens, account.leaving_since) == ({}, {}, None)
