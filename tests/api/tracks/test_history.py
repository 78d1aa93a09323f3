"""The history of a track: author, change, time, and whether it reached the PDS."""

import json

import pytest

from tests.api.tracks.long_history import lengthen
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE
from tests.statements import before_each_statement

pytestmark = ON_SQLITE


@pytest.fixture
def track(client, world, alice):
    track = upload(client, alice, title="0")
    world.deliver()
    for n in range(1, 5):
        client.patch(
            f"/tracks/{track['id']}",
            json={"title": str(n)},
            headers={**alice.headers, "X-Request-Id": f"r{n}"},
        )
    return track


def history(client, person, track, query="", **headers):
    return client.get(f"/tracks/{track['id']}/history{query}", headers={**person.headers, **headers})


def test_a_row_says_who_what_when_and_how_it_reached_the_pds(client, alice, track):
    row = history(client, alice, track).json()["items"][0]
    assert set(row) == {
        "position", "version", "type", "actor", "actor_handle", "via", "request_id", "at", "changes", "delivery",
    }  # fmt: skip
    assert (row["actor"], row["via"], row["request_id"]) == (alice.did, "token:t", "r4")
    assert row["actor_handle"] == alice.handle
    assert row["changes"] == [{"field": "title", "before": "3", "after": "4"}]
    assert row["delivery"]["status"] == "pending"


def test_each_event_is_delivered_superseded_or_does_not_touch_the_record(client, world, alice, track):
    client.patch(f"/tracks/{track['id']}", json={"tags": ["x"]}, headers=alice.headers)
    world.deliver()
    rows = history(client, alice, track).json()["items"]
    assert [row["delivery"]["status"] for row in rows] == [
        "none", "delivered", "superseded", "superseded", "superseded", "delivered",
    ]  # fmt: skip
    newest = rows[1]
    assert newest["delivery"]["rev"]
    assert newest["delivery"]["cid"] == client.get(f"/tracks/{track['id']}").json()["atproto_record_cid"]
    assert {row["delivery"]["by_generation"] for row in rows[2:5]} == {newest["position"]}


def test_as_ndjson_it_is_a_line_an_event_to_the_first(client, alice, track):
    answer = history(client, alice, track, Accept="application/x-ndjson")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert rows == history(client, alice, track).json()["items"]
    limited = history(client, alice, track, "?limit=3", Accept="application/x-ndjson")
    assert [json.loads(line)["version"] for line in limited.text.splitlines()] == [5, 4, 3]


# on SQLite alone: PostgreSQL chooses by its statistics, and may read newer events of other tracks
def test_a_page_of_a_history_of_10_000_events_reads_that_page_alone(world, client, alice, track):
    lengthen(world.database, track["id"], 10_000)
    seen = []
    with before_each_statement(world.database.engine, seen.append):
        page = history(client, alice, track, "?limit=30")
    assert [row["version"] for row in page.json()["items"]] == list(range(10_005, 9975, -1))
    of_sizes, of_page = (statement for statement in seen if "history.changes" in statement.sql)
    for read in (of_sizes, of_page):
        plan = " ".join(read.plan(world.database)).lower()
        assert "ix_history_track_id_position" in plan, plan
        assert "sort" not in plan, plan
        assert "temp b-tree" not in plan, plan


def test_long_histories_are_written_in_many_pages(client, world, alice):
    track = upload(client, alice)
    lengthen(world.database, track["id"], 104)
    answer = history(client, alice, track, Accept="application/x-ndjson")
    assert [json.loads(line)["version"] for line in answer.text.splitlines()] == list(range(105, 0, -1))
    page = history(client, alice, track, "?limit=100").json()
    assert len(page["items"]) == 100


def test_whose_it_is_comes_before_what_is_wrong_with_the_query(client, alice, bob, track):
    for query in ("?limit=0", "?cursor=x"):
        assert refusal(history(client, bob, track, query)) == (403, "not_owner")
        assert refusal(history(client, alice, {"id": 2**80}, query)) == (404, "track_not_found")


def test_the_mirror_tells_what_is_wanted_confirmed_and_tried(client, world, alice, track):
    path = f"/tracks/{track['id']}/mirror"
    before = client.get(path, headers=alice.headers).json()
    assert before["state"] == "pending"
    assert before["desired"]["op"] == "put"
    assert before["desired"]["generation"] > before["acked"]["generation"]
    assert before["observed"]["cid"]
    world.deliver()
    after = client.get(path, headers=alice.headers).json()
    assert (after["state"], after["acked"]["generation"]) == ("delivered", before["desired"]["generation"])
    assert [attempt["outcome"] for attempt in after["attempts"]] == ["done", "done"]
    assert after["record_uri"] == track["atproto_record_uri"]


def test_retry_makes_a_backing_off_record_due_at_once(client, world, alice, track):
    world.pds.away = True
    world.deliver()
    waiting = client.get(f"/tracks/{track['id']}/mirror", headers=alice.headers).json()
    assert waiting["state"] == "pending"
    world.pds.away = False
    answer = client.post(f"/tracks/{track['id']}/mirror/retry", headers=alice.headers)
    assert (answer.status_code, answer.json()["track_id"]) == (200, track["id"])
    world.deliver()
    assert world.record(track)["title"] == "4"


@pytest.mark.usefixtures("track")
def test_the_lane_says_what_waits(client, world, alice):
    lane = client.get("/me/mirror", headers=alice.headers).json()
    assert (lane["did"], lane["state"], lane["waiting"]) == (alice.did, "ready", {"pending": 1})
    world.deliver()
    assert client.get("/me/mirror", headers=alice.headers).json()["waiting"] == {}
    away = world.sign_in("away", lane=False)
    assert client.get("/me/mirror", headers=away.headers).json()["state"] == "auth_required"
    upload(client, away)
    lane = client.get("/me/mirror", headers=away.headers).json()
    assert (lane["reason"], lane["waiting"]) == ("auth_required", {"parked": 1})
