"""Hosts: what operators see of them, and pause, resume and try again."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, update

from outbox.mirror.tables import mirror_lane, mirror_target, pds_host
from tests.api.ops.requests import act, read, waits_an_hour
from tests.api.world import refusal, upload
from tests.fake_pds.scripted_pds import HOST


def test_a_host_is_paused_after_counting_and_resumed(world, client, admin, alice, bob):
    upload(client, alice, seed=1)
    upload(client, bob, seed=2)
    pause = {"action": "pause", "host": HOST, "reason": "maintenance"}
    counted = act(client, admin, "/ops/hosts", **pause, dry_run=True)
    assert counted.json() == {"action": "pause", "affected": 3, "sent_at_once": None, "dry_run": True}
    assert read(client, admin, "/ops/hosts")["items"][0]["paused"] is False
    assert act(client, admin, "/ops/hosts", **pause).json()["affected"] == 3
    world.deliver()
    (host,) = read(client, admin, "/ops/hosts")["items"]
    assert (host["host"], host["paused"], host["breaker"]) == (HOST, True, "closed")
    assert host["lanes"] == {"paused": 3}
    resumed = act(client, admin, "/ops/hosts", action="resume", host=HOST).json()
    assert (resumed["affected"], resumed["sent_at_once"]) == (3, 3)
    world.deliver()
    (host,) = read(client, admin, "/ops/hosts")["items"]
    assert (host["waiting"], host["drains_in"]) == (0, 0.0)


def test_failing_hosts_are_listed_the_longest_failing_first_page_by_page(world, client, admin):
    now = datetime.now(UTC)
    since = {"a": now, "b": now - timedelta(hours=2), "c": now - timedelta(hours=1), "d": now}
    with world.database.write() as connection:
        for name, at in since.items():
            connection.execute(insert(pds_host).values(host=f"https://{name}.test", failing_since=at))
        connection.execute(insert(pds_host).values(host="https://0.test", paused=True))
        connection.execute(insert(pds_host).values(host="https://well.test"))
    found, cursor = [], ""
    while cursor is not None:
        page = read(client, admin, "/ops/hosts", failing=True, limit=2, cursor=cursor)
        found += [each["host"] for each in page["items"]]
        cursor = page["cursor"]
    assert found == [f"https://{name}.test" for name in "bcad0"]
    assert read(client, admin, "/ops/overview")["failing_hosts"] == 5
    (named,) = read(client, admin, "/ops/hosts", host="https://well.test")["items"]
    assert named["host"] == "https://well.test"
    assert read(client, admin, "/ops/hosts", host="https://well.test", failing=True)["items"] == []
    answer = client.get("/ops/hosts", params={"failing": True, "cursor": "b"}, headers=admin.headers)
    assert refusal(answer) == (400, "invalid_field")


def test_a_host_that_fails_is_tried_again_at_once_as_counted_and_nothing_is_resumed(
    world, client, admin, alice, bob
):
    upload(client, alice)
    world.deliver()
    track = upload(client, alice, seed=2)
    upload(client, bob, seed=3)
    act(client, admin, "/ops/lanes", action="pause", did=bob.did, reason="r")
    world.pds.write_refusals = [(502, "")] * 9  # its first pause is a quarter of a second
    world.deliver()
    waits_an_hour(world)
    world.deliver()
    assert read(client, admin, "/ops/hosts")["items"][0]["failing_since"] is not None
    assert world.record(track) is None, "it waits for its next time"

    retry = {"action": "retry", "host": HOST, "reason": "it is back"}
    assert act(client, admin, "/ops/hosts", **retry, dry_run=True).json()["affected"] == 1
    assert refusal(act(client, admin, "/ops/hosts", **retry, expected=2)) == (409, "count_changed")
    key = admin.headers | {"Idempotency-Key": "k"}
    answers = [client.post("/ops/hosts", json=retry | {"expected": 1}, headers=key) for _ in range(2)]
    assert [answer.json()["affected"] for answer in answers] == [1, 1]
    assert read(client, admin, "/ops/progress", action="retry", host=HOST)["waiting"] == 2
    world.pds.write_refusals = []
    world.deliver()
    assert world.record(track) is not None
    assert read(client, admin, "/ops/lanes", state="paused")["items"][0]["did"] == bob.did
    acted = read(client, admin, "/audit", did=admin.did, type="OperatorActed")["items"]
    retried = [{each["field"]: each["after"] for each in row["changes"]} for row in acted][:1]
    assert [(each["action"], each["affected"], each["reason"]) for each in retried] == [
        ("retry", 1, "it is back")
    ]
    pause = {"action": "pause", "host": HOST, "reason": "r"}
    act(client, admin, "/ops/hosts", **pause)
    assert act(client, admin, "/ops/hosts", **retry, dry_run=True).json()["affected"] == 0


def test_a_pds_that_does_not_answer_is_away_for_its_owner_and_for_operators(world, client, admin, alice):
    upload(client, alice)
    world.deliver()
    well = read(client, alice, "/me/mirror")
    assert (well["state"], well["failing_since"], well["stalled_by"]) == ("ready", None, None)
    assert well["last_success_at"] is not None
    track = upload(client, alice, title="another", seed=2)
    world.pds.write_refusals = [(502, "")] * 9
    world.deliver()
    lane = read(client, alice, "/me/mirror")
    assert (lane["state"], lane["reason"], lane["paused"]) == ("pds_away", "pds_away", False)
    assert (lane["drains_in"], lane["stalled_by"], lane["first_error"][:8]) == (None, "pds_away", "http_502")
    assert lane["failing_since"] > lane["last_success_at"] == well["last_success_at"]
    assert lane["next_attempt_at"] > lane["failing_since"]
    away = read(client, admin, "/ops/lanes", state="pds_away")["items"]
    assert [(each["did"], each["failing_since"]) for each in away] == [(alice.did, lane["failing_since"])]
    (host,) = read(client, admin, "/ops/hosts")["items"]
    assert (host["lanes"]["pds_away"], host["drains_in"], host["stalled_by"]) == (1, None, "pds_away")
    assert (host["failing_since"] > lane["failing_since"], host["first_error"]) == (True, lane["first_error"])
    assert host["last_success_at"] == well["last_success_at"]
    (record,) = read(client, admin, "/ops/failures")["items"]
    mirror = read(client, alice, f"/tracks/{track['id']}/mirror")
    for shown in (record, mirror):
        assert (shown["failing_since"], shown["first_error"]) == (lane["failing_since"], lane["first_error"])

    with world.database.write() as connection:  # the pause is over, and no relay has come
        past = world.database.now(connection) - timedelta(minutes=1)
        for table in (mirror_target, mirror_lane):
            connection.execute(update(table).values(not_before=past))
    now = datetime.now(UTC).isoformat()
    for path, of in ((f"/tracks/{track['id']}/mirror", "next_attempt_at"), ("/me/mirror", "next_attempt_at")):
        assert read(client, alice, path)[of] >= now
    assert read(client, admin, "/ops/failures")["items"][0]["next_attempt_at"] >= now


def test_a_host_that_acknowledged_what_is_not_there_is_named_until_it_is_resumed(world, client, admin):
    with world.database.write() as connection:
        connection.execute(insert(pds_host).values(host="https://lies.test", refuted_writes=12))
        connection.execute(insert(pds_host).values(host="https://well.test"))

    (host,) = read(client, admin, "/ops/hosts", failing=True)["items"]
    assert (host["host"], host["refuted_writes"]) == ("https://lies.test", 12)
    assert read(client, admin, "/ops/overview")["failing_hosts"] == 1

    act(client, admin, "/ops/hosts", action="resume", host="https://lies.test", reason="was a restore")

    assert read(client, admin, "/ops/hosts", failing=True)["items"] == []
