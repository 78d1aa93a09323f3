"""Operators see repairs; admins start them, apply what was shown, and cancel."""

import pytest

from tests.api.ops.requests import act, read
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def lost(world, client, alice):
    tracks = [upload(client, alice, title=f"{seed}", seed=seed) for seed in (1, 2, 3)]
    world.deliver()
    for track in tracks:
        del world.pds.records[track["atproto_record_uri"]]
    return tracks


def test_a_repair_is_started_shown_applied_and_audited(world, client, admin, alice, lost):
    started = act(client, admin, "/ops/repairs", did=alice.did, reason="they were lost")
    here = started.headers["location"]
    assert (started.status_code, started.json()["state"]) == (202, "verifying")
    world.repair()
    shown = read(client, admin, here)
    assert (shown["state"], shown["steps"], shown["deletes"], shown["points"]) == ("planned", 3, 0, 9)
    assert {step["track_id"] for step in shown["first"]} == {track["id"] for track in lost}
    assert (shown["first"][0]["repair"], shown["first"][0]["because"]) == ("restore", "missing")

    wrong = act(client, admin, here, action="apply", digest="0" * 64, reason="r")
    assert refusal(wrong) == (409, "bad_state")
    applied = act(client, admin, here, action="apply", digest=shown["digest"], reason="as planned")
    assert (applied.status_code, applied.json()["state"]) == (202, "applying")
    world.repair()
    done = read(client, admin, here)
    assert (done["state"], done["applied"], done["skips"], done["waiting"]) == (
        "done",
        3,
        [],
        {"pending": 3},
    )
    world.deliver()
    assert read(client, admin, here)["waiting"] == {}
    acts = [each for each in read(client, admin, "/audit")["items"] if each["type"] == "OperatorActed"]
    assert len(acts) == 2
    assert "as planned" in str(acts[0])


def test_what_a_plan_deletes_has_to_be_allowed(world, client, admin, alice):
    track = upload(client, alice)
    world.deliver()
    uri = track["atproto_record_uri"]
    record = world.pds.records[uri]
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    world.deliver()
    world.pds.records[uri] = record
    here = act(client, admin, "/ops/repairs", did=alice.did, reason="r").headers["location"]
    world.repair()
    digest = read(client, admin, here)["digest"]
    refused = act(client, admin, here, action="apply", digest=digest, reason="r")
    assert refusal(refused) == (400, "invalid_field")
    assert refused.json()["detail"]["limit"] == "must be 1 or more: so many the plan deletes"
    allowed = act(client, admin, here, action="apply", digest=digest, max_deletes=1, reason="r")
    assert allowed.status_code == 202


def test_repairs_are_listed_page_by_page(client, admin, alice, bob):
    for person in (alice, bob):
        upload(client, person)
        act(client, admin, "/ops/repairs", did=person.did, reason="r")
    first = read(client, admin, "/ops/repairs", limit=1)
    second = read(client, admin, "/ops/repairs", limit=1, cursor=first["cursor"])
    assert [each["did"] for each in (*first["items"], *second["items"])] == [bob.did, alice.did]
    assert second["cursor"] is None
    [of_alice] = read(client, admin, "/ops/repairs", did=alice.did)["items"]
    assert of_alice["did"] == alice.did


def test_what_is_unknown_or_without_a_reason_is_refused(client, admin, alice):
    unknown = act(client, admin, "/ops/repairs", did="did:plc:nobody", reason="r")
    assert refusal(unknown) == (404, "not_found")
    assert refusal(act(client, admin, "/ops/repairs", did=alice.did)) == (422, "unparsable")
    assert refusal(client.get("/ops/repairs/7", headers=admin.headers)) == (404, "not_found")
    cancelled = act(client, admin, "/ops/repairs/7", action="cancel", reason="r")
    assert refusal(cancelled) == (404, "not_found")
