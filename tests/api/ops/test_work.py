"""What operators see of the work in the background."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, update

from eventstore.schema import projection_state
from identity.accounts.credentials import Scope
from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import PAST, firehose_cursor, mirror_lane, repo_scan
from projections.rebuild.rebuild import rebuild
from tests.api.world import did_of, upload
from tests.fake_pds.scripted_pds import HOST
from tests.outbox.rigs.rows import set_host

LEASE = timedelta(minutes=1)


@pytest.fixture
def work(world, client):
    """Reads the work as an operator does."""
    operator = world.sign_in("operator", scope=Scope.OPERATOR)

    def read():
        answer = client.get("/ops/work", headers=operator.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return read


def test_read_models_are_at_the_head_of_the_log_or_outdated(world, client, alice, work):
    upload(client, alice)
    now = work()
    assert now["head"] > 0
    assert {each["name"] for each in now["read_models"]} == {each.name for each in world.log.projections}
    assert {(each["state"], each["position"]) for each in now["read_models"]} == {("current", now["head"])}
    assert now["replay"] is None
    with world.database.write() as connection:
        of_tracks = projection_state.c.name == "tracks"
        connection.execute(update(projection_state).where(of_tracks).values(fingerprint="older"))
    states = {each["name"]: (each["state"], each["position"]) for each in work()["read_models"]}
    assert states.pop("tracks") == ("outdated", None)
    assert set(states.values()) == {("current", now["head"])}


def test_a_rebuild_shows_how_far_it_is_and_where_it_was_cut_off(world, client, alice, work):
    for seed in (1, 2, 3):
        upload(client, alice, seed=seed)
    head = work()["head"]
    seen = []

    def cut_off(_position, _until):
        seen.append(work()["replay"])
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(world.log, world.log.projections[:2], page=1, progress=cut_off)
    assert [(each["position"], each["head"]) for each in seen] == [(1, head), (2, head)]
    left = work()["replay"]
    assert left == seen[-1]
    assert left["work"] == "rebuild"
    assert left["read_models"] == [each.name for each in world.log.projections[:2]]
    assert left["began_at"] <= left["moved_at"]
    rebuild(world.log, world.log.projections[:2])
    assert work()["replay"] is None


def test_uploads_are_counted_and_those_that_fail_by_their_cause(world, client, alice, work):
    tracks = [upload(client, alice, seed=seed) for seed in (1, 2, 3)]
    world.deliver()

    def copy(track):
        wants = {**alice.headers, "Prefer": "wait=0"}
        client.post(f"/tracks/{track['id']}/migrate-to-pds", headers=wants)

    copy(tracks[0])
    assert (work()["uploads"]["waiting"], work()["uploads"]["failures"]) == (1, [])
    world.pds.upload_refusal = (400, "InvalidMimeType")
    world.deliver()
    copy(tracks[1])
    world.pds.upload_refusal = (500, "InternalServerError")
    world.deliver()
    uploads = work()["uploads"]
    assert (uploads["waiting"], uploads["running"]) == (1, 0)
    failures = {each["error"]: each for each in uploads["failures"]}
    refused, failing = failures["InvalidMimeType"], failures["InternalServerError"]
    assert (refused["host"], refused["status"], refused["refused"], refused["retried"]) == (HOST, 400, 1, 0)
    assert (failing["status"], failing["refused"], failing["retried"]) == (500, 0, 1)
    client.delete(f"/tracks/{tracks[0]['id']}", headers=alice.headers)  # what its owner gave up fails no more
    assert [each["error"] for each in work()["uploads"]["failures"]] == ["InternalServerError"]


def test_the_scan_says_what_is_due_how_old_it_is_and_what_it_could_not_read(world, client, alice, bob, work):
    for person in (alice, bob):
        upload(client, person)
    world.deliver()
    never = work()["scan"]
    assert (never["repos"], never["due"], never["oldest_at"]) == (2, 2, None)
    with world.database.write() as connection:
        now = world.database.now(connection)
        read = {"did": alice.did, "scanned_at": now, "problem": None}
        unread = {"did": bob.did, "scanned_at": now - timedelta(hours=3), "problem": "too_slow: a minute"}
        connection.execute(insert(repo_scan), [read, unread])
    scan = work()["scan"]
    assert (scan["repos"], scan["due"], scan["unread"]) == (2, 1, 1)
    assert scan["oldest_at"] < scan["last_at"]
    (problem,) = scan["unread_repos"]
    assert (problem["did"], problem["host"], problem["problem"]) == (bob.did, HOST, "too_slow: a minute")
    with world.database.write() as connection:
        connection.execute(update(repo_scan).where(repo_scan.c.did == bob.did).values(scanned_at=PAST))
    assert work()["scan"]["oldest_at"] == scan["last_at"]  # it is to be scanned anew


def test_firehoses_are_listed_with_their_state_and_lag_those_in_trouble_first(world, work):
    hosts = ("late", "well", "away", "left", "new", "paused")
    operator = world.sign_in("operator", scope=Scope.OPERATOR, lane=False)
    assert work()["firehose"] == {
        "enabled": False, "streams": {}, "heard_at": None, "lag_seconds": None, "items": [],
    }  # fmt: skip
    with world.database.write() as connection:
        now = world.database.now(connection)
        connection.execute(delete(mirror_lane))
        for host in hosts:
            resume_lane(connection, did_of(host), f"https://{host}.test", now)
        held = {"lease_owner": "one", "lease_until": now + LEASE, "connected_at": now, "problem": None}
        away = {"connected_at": None, "problem": "ConnectionRefusedError()"}
        rows = {
            "late": {"lag_seconds": 90.0},
            "well": {"lag_seconds": 0.5},
            "away": {"lag_seconds": 3.0, **away},
            "left": {"lag_seconds": None, "lease_until": now - LEASE},
            "paused": {"lag_seconds": None, "lease_until": now - LEASE},
        }
        for host, row in rows.items():
            values = {"host": f"https://{host}.test", "heard_at": now, **held, **row}
            connection.execute(insert(firehose_cursor).values(values))
    set_host(world.database, "https://paused.test", paused=True)
    with world.serve(follows_firehose=True) as following:
        found = following.get("/ops/work", headers=operator.headers).json()["firehose"]
    assert found["streams"] == {"followed": 2, "disconnected": 1, "unfollowed": 2}
    assert [each["host"].removeprefix("https://") for each in found["items"]] == [
        "away.test",
        "left.test",
        "new.test",
        "late.test",
        "well.test",
    ]
    assert found["items"][0]["problem"] == "ConnectionRefusedError()"
    assert found["lag_seconds"] == 90.0


def test_the_scan_counts_no_more_repos_than_it_may_read(*, world, client, alice, bob, work, monkeypatch):
    for person in (alice, bob):
        upload(client, person)
    world.deliver()
    monkeypatch.setattr("replay.reconcile.scan.MAX_COUNTED", 1)
    assert (work()["scan"]["repos"], work()["scan"]["due"]) == (1, 1)
