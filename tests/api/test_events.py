"""Server-sent events, resumed after the last event that the client received."""

import json

import pytest

from identity.accounts.credentials import Scope
from tests.api.world import refusal, upload


@pytest.fixture
def tracks(client, alice, bob):
    """A track of alice's, retitled once, and one of bob's."""
    made = [upload(client, alice, seed=1), upload(client, bob, seed=2)]
    client.patch(f"/tracks/{made[0]['id']}", json={"title": "new"}, headers=alice.headers)
    return made


@pytest.fixture
def admin(world):
    return world.sign_in("admin", scope=Scope.ADMIN)


def follow(client, person, last=None, **params):
    """What is there already, from an event on."""
    since = {} if last is None else {"Last-Event-ID": str(last)}
    return client.get("/events", params=params, headers={**person.headers, "Prefer": "wait=0", **since})


def events(answer):
    """The events of a stream."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in answer.text.split("\n\n") if block]
    lines = [dict(line.split(": ", 1) for line in block) for block in blocks]
    assert lines[0] == {"retry": "1000"}
    return lines[1:]


def types(answer):
    return [each["event"] for each in events(answer) if each["event"] in {"Created", "MetadataUpdated"}]


@pytest.mark.usefixtures("tracks")
def test_events_after_the_last_one_come_oldest_first_as_in_the_audit(client, alice):
    told = events(follow(client, alice, last=0))
    rows = client.get("/audit", headers=alice.headers).json()["items"]
    assert [json.loads(each["data"]) for each in told] == rows[::-1]
    assert [(int(each["id"]), each["event"]) for each in told] == [
        (row["position"], row["type"]) for row in rows[::-1]
    ]
    assert [each["id"] for each in events(follow(client, alice, last=told[-2]["id"]))] == [told[-1]["id"]]


@pytest.mark.usefixtures("tracks")
def test_without_a_last_event_it_begins_with_what_comes_next(client, alice):
    assert events(follow(client, alice)) == []


@pytest.mark.usefixtures("tracks")
def test_only_an_admin_follows_others(client, alice, bob, admin):
    assert types(follow(client, alice, last=0)) == ["Created", "MetadataUpdated"]
    assert types(follow(client, admin, last=0)) == ["Created", "Created", "MetadataUpdated"]
    assert types(follow(client, admin, last=0, did=bob.did)) == ["Created"]
    assert refusal(follow(client, alice, last=0, did=bob.did)) == (403, "not_owner")


def test_a_last_event_that_is_none_of_ours_is_refused(client, alice):
    assert refusal(follow(client, alice, last="x")) == (400, "invalid_field")
