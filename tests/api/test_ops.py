"""What operators see and do."""

import pytest

from identity.accounts.credentials import Scope
from outbox.mirror.lanes import park_lane
from tests.api.world import refusal, upload
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE

PAGES = ["/ops/lanes", "/ops/hosts", "/ops/failures"]


@pytest.fixture
def admin(world):
    return world.sign_in("admin", scope=Scope.ADMIN)


def act(client, person, path, **body):
    return client.post(path, json=body, headers=person.headers)


def read(client, person, path, **wanted):
    answer = client.get(path, params=wanted, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rejected(world, client, person, *seeds, error="InvalidRecord"):
    """Tracks whose records the PDS refuses."""
    tracks = [upload(client, person, title=f"{seed}", seed=seed) for seed in seeds]
    world.pds.write_refusals = [(400, error)] * len(seeds)
    world.deliver()
    return tracks


@ON_SQLITE
@pytest.mark.parametrize("path", PAGES)
def test_only_an_admin_with_an_admins_token_sees_or_does_anything(world, client, alice, path):
    assert refusal(client.get(path)) == (401, "not_authenticated")
    assert refusal(client.post(path, json={"action": "redrive"})) == (401, "not_authenticated")
    for person in (alice, world.sign_in("alice", scope=Scope.ADMIN), world.sign_in("admin")):
        assert refusal(client.get(path, headers=person.headers)) == (403, "scope_required")
        assert refusal(act(client, person, path, action="redrive")) == (403, "scope_required")


def test_lanes_are_listed_page_by_page_with_what_waits(world, client, admin, alice, bob):
    upload(client, alice, seed=1)
    upload(client, bob, seed=2)
    with world.database.write() as connection:
        park_lane(connection, bob.did)
    first = read(client, admin, "/ops/lanes", limit=1)
    second = read(client, admin, "/ops/lanes", limit=100, cursor=first["cursor"])
    lanes = {lane["did"]: lane for lane in first["items"] + second["items"]}
    assert second["cursor"] is None
    assert (lanes[alice.did]["state"], lanes[alice.did]["waiting"]) == ("ready", {"pending": 1})
    assert (lanes[bob.did]["state"], lanes[bob.did]["waiting"]) == ("auth_required", {"parked": 1})
    parked = read(client, admin, "/ops/lanes", state="auth_required", host=HOST)["items"]
    assert [lane["did"] for lane in parked] == [bob.did]


def test_a_host_is_paused_after_counting_and_resumed(world, client, admin, alice, bob):
    upload(client, alice, seed=1)
    upload(client, bob, seed=2)
    pause = {"action": "pause", "host": HOST, "reason": "maintenance"}
    counted = act(client, admin, "/ops/hosts", **pause, dry_run=True)
    assert counted.json() == {"action": "pause", "affected": 3, "dry_run": True}
    assert read(client, admin, "/ops/hosts")["items"][0]["paused"] is False
    assert act(client, admin, "/ops/hosts", **pause).json()["affected"] == 3
    world.deliver()
    (host,) = read(client, admin, "/ops/hosts")["items"]
    assert (host["host"], host["paused"], host["breaker"]) == (HOST, True, "closed")
    assert host["lanes"] == {"paused": 3}
    assert act(client, admin, "/ops/hosts", action="resume", host=HOST).json()["affected"] == 3
    world.deliver()
    (host,) = read(client, admin, "/ops/hosts")["items"]
    assert (host["waiting"], host["drains_in"]) == (0, 0.0)


def test_failures_are_found_by_error_and_driven_again(world, client, admin, alice):
    one, two = rejected(world, client, alice, 1, 2)
    (other,) = rejected(world, client, alice, 3, error="SomethingElse")
    page = read(client, admin, "/ops/failures", limit=2)
    assert [(each["track_id"], each["state"], each["reason"]) for each in page["items"]] == [
        (one["id"], "rejected", "InvalidRecord"),
        (two["id"], "rejected", "InvalidRecord"),
    ]
    rest = read(client, admin, "/ops/failures", limit=2, cursor=page["cursor"])
    assert ([each["track_id"] for each in rest["items"]], rest["cursor"]) == ([other["id"]], None)
    found = read(client, admin, "/ops/failures", error="SomethingElse", did=alice.did)["items"]
    assert [each["track_id"] for each in found] == [other["id"]]

    again = act(client, admin, "/ops/failures", action="redrive", error="InvalidRecord")
    assert again.json()["affected"] == 2
    world.deliver()
    left = read(client, admin, "/ops/failures")["items"]
    assert [each["track_id"] for each in left] == [other["id"]]


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"action": "pause"}, (400, "invalid_field")),
        ({"action": "pause", "did": "did:plc:nobody"}, (404, "not_found")),
        ({}, (422, "unparsable")),
    ],
)
def test_what_makes_no_sense_is_refused(client, admin, body, expected):
    assert refusal(act(client, admin, "/ops/lanes", **body)) == expected


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "field", "limit"),
    [
        ({"action": "pause"}, "did", "`host`"),
        ({"action": "dance"}, "action", "'redrive'"),
        ({"action": "redrive", "error": "\0"}, "error", "must match"),
        ({"action": "redrive", "dry_run": "perhaps"}, "dry_run", "must be"),
        ({"action": "redrive", "reason": 5}, "reason", "must be"),
    ],
)
def test_a_value_that_is_refused_is_named_with_what_it_may_be(*, client, world, admin, body, field, limit):
    before = world.state()
    answer = act(client, admin, "/ops/lanes", **body)
    assert refusal(answer) == (400, "invalid_field")
    assert answer.json()["detail"]["field"] == field
    assert limit in answer.json()["detail"]["limit"]
    assert world.state() == before


@ON_SQLITE
def test_an_action_may_come_as_a_form_and_as_nothing_unknown(client, admin):
    form = {"action": "pause", "did": admin.did, "host": "", "dry_run": "true"}
    counted = {"action": "pause", "affected": 1, "dry_run": True}
    urlencoded = client.post("/ops/lanes", data=form, headers=admin.headers)
    parts = {name: (None, value) for name, value in form.items()}
    multipart = client.post("/ops/lanes", files=parts, headers=admin.headers)
    assert (urlencoded.json(), multipart.json()) == (counted, counted)
    plain = {**admin.headers, "Content-Type": "text/plain"}
    assert refusal(client.post("/ops/lanes", content=b"x", headers=plain)) == (415, "unsupported_media")
    broken = {**admin.headers, "Content-Type": "application/json"}
    twice = b'{"action": "pause", "action": "resume"}'
    for content in (b"{", b"[]", twice):
        refused = client.post("/ops/lanes", content=content, headers=broken)
        assert refusal(refused) == (422, "unparsable")


@pytest.mark.parametrize("wanted", [{"cursor": "\0"}, {"state": "\0"}, {"host": "\0"}, {"host": "x" * 2049}])
def test_what_no_database_could_look_for_is_refused(client, admin, wanted):
    answer = client.get("/ops/lanes", params=wanted, headers=admin.headers)
    assert refusal(answer) == (400, "invalid_field")
    assert [answer.json()["detail"]["field"]] == list(wanted)
    assert answer.json()["detail"]["limit"].startswith("must ")


@ON_SQLITE
def test_what_is_no_number_cannot_be_parsed(client, admin):
    answer = client.get("/ops/lanes", params={"limit": "x"}, headers=admin.headers)
    assert refusal(answer) == (422, "unparsable")


def test_an_owner_sees_its_lane_what_waits_and_until_when(world, client, alice):
    nothing = read(client, alice, "/me/mirror")
    assert (nothing["state"], nothing["waiting"], nothing["drains_in"]) == ("ready", {}, 0.0)
    upload(client, alice, seed=1)
    lane = read(client, alice, "/me/mirror")
    assert (lane["reason"], lane["waiting"], lane["waiting_by_class"]) == (None, {"pending": 1}, {"edit": 1})
    assert lane["drains_in"] > 0
    assert lane["next_attempt_at"] is not None
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    lane = read(client, alice, "/me/mirror")
    assert (lane["state"], lane["reason"], lane["waiting"]) == (
        "auth_required",
        "auth_required",
        {"parked": 1},
    )
    assert (lane["next_attempt_at"], lane["drains_in"]) == (None, None)
