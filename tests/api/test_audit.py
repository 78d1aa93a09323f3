"""GET /audit lists the changes of an account, and of all accounts for an admin."""

import json

import pytest

from tests.api.ops.requests import read
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE


@pytest.fixture
def tracks(client, alice, bob):
    """Two tracks of alice's, one of bob's; each retitled once."""
    made = [upload(client, alice, seed=1), upload(client, bob, seed=2), upload(client, alice, seed=3)]
    for track, person in zip(made, (alice, bob, alice), strict=True):
        client.patch(f"/tracks/{track['id']}", json={"title": "new"}, headers=person.headers)
    return made


def audit(client, person, accept="", **params):
    return client.get("/audit", params=params, headers={**person.headers, "Accept": accept})


def told(answer):
    return [(row["type"], row["track_id"]) for row in answer.json()["items"]]


def test_an_account_reads_its_own_changes_newest_first(client, alice, tracks):
    first, _, third = (track["id"] for track in tracks)
    answer = audit(client, alice)
    assert told(answer) == [
        ("MetadataUpdated", third), ("MetadataUpdated", first), ("Created", third), ("Created", first),
    ]  # fmt: skip
    assert set(answer.json()["items"][0]) == {
        "position", "did", "kind", "subject_id", "track_id", "version", "type", "actor", "via", "request_id", "at", "changes",
    }  # fmt: skip


@pytest.mark.usefixtures("tracks")
def test_it_is_searched_by_type_and_time(client, alice):
    rows = audit(client, alice).json()["items"]
    assert {row["type"] for row in audit(client, alice, type="Created").json()["items"]} == {"Created"}
    since = audit(client, alice, since=rows[1]["at"]).json()["items"]
    until = audit(client, alice, until=rows[1]["at"]).json()["items"]
    assert (since, until) == (rows[:2], rows[2:])
    assert audit(client, alice, actor="\0").json()["items"] == []


@ON_SQLITE
def test_a_type_that_no_event_has_is_named_with_those_that_there_are(client, alice):
    for name in ("Typo", "created", "", "\0"):
        answer = audit(client, alice, type=name)
        assert refusal(answer) == (400, "invalid_field")
        detail = answer.json()["detail"]
        assert detail["field"] == "type"
        known = detail["limit"].removeprefix("must be one of: ").split(", ")
        assert {"Created", "TakenDown", "TokenIssued"} <= set(known)


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_as_ndjson_it_is_a_line_an_event(client, admin):
    answer = audit(client, admin, accept="application/x-ndjson")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == audit(client, admin).json()["items"]
    limited = audit(client, admin, accept="application/x-ndjson", limit=2)
    assert len(limited.text.splitlines()) == 2


@ON_SQLITE
def test_a_search_that_cannot_be_is_refused(client, alice):
    assert refusal(audit(client, alice, limit=0)) == (400, "invalid_field")
    assert refusal(audit(client, alice, cursor="x")) == (400, "invalid_field")
    assert refusal(audit(client, alice, since="yesterday")) == (422, "unparsable")


@ON_SQLITE
def test_an_operator_reads_the_audit_of_every_account(world, client, alice, operator):
    upload(client, alice)
    of_all = read(client, operator, "/audit")["items"]
    assert alice.did in {row["did"] for row in of_all}
    assert read(client, operator, "/audit", did=alice.did)["items"]
    ordinary = world.sign_in("operator")
    refused = client.get("/audit", params={"did": alice.did}, headers=ordinary.headers)
    assert refusal(refused) == (403, "not_owner")
    me = read(client, operator, "/me")
    assert (me["scope"], me["operator"], me["admin"]) == ("operator", True, False)
