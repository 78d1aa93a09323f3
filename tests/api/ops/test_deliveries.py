"""What operators see and do."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from api.middleware.http_layer import over_http
from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import mirror_lane, mirror_target, pds_host
from tests.api.ops.requests import act, by_cause, read, rejected, waits_an_hour
from tests.api.world import refusal, upload
from tests.dsl import A_RECORD, a_comment
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE


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
    assert read(client, admin, "/ops/lanes", did=bob.did)["items"] == [lanes[bob.did]]
    parked = read(client, admin, "/ops/lanes", state="auth_required", host=HOST)["items"]
    assert [lane["did"] for lane in parked] == [bob.did]


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


def test_one_record_is_driven_again_by_its_uri_and_its_owner_reads_who_did_it(world, client, admin, alice):
    one, two = rejected(world, client, alice, 1, 2)
    redrive = {"action": "redrive", "record": two["atproto_record_uri"], "reason": "it fits now"}
    assert act(client, admin, "/ops/failures", **redrive, dry_run=True).json()["affected"] == 1
    assert act(client, admin, "/ops/failures", **redrive, expected=1).json()["affected"] == 1
    progress = {"action": "redrive", "record": two["atproto_record_uri"]}
    assert read(client, admin, "/ops/progress", **progress)["waiting"] == 1
    world.deliver()
    assert [world.record(track) is not None for track in (one, two)] == [False, True]
    assert read(client, admin, "/ops/progress", **progress)["waiting"] == 0
    (entry,) = read(client, alice, "/audit", type="OperatorActed")["items"]
    assert "it fits now" in str(entry["changes"])
    for unknown in (f"at://{alice.did}/fm.plyr.track/none", f"at://{alice.did}"):
        found = act(client, admin, "/ops/failures", action="redrive", record=unknown, dry_run=True)
        assert found.json()["affected"] == 0
    assert act(client, admin, "/ops/failures", action="redrive", record="none").status_code == 404


def test_accounts_are_listed_by_what_keeps_their_records_page_by_page(world, client, admin, alice, bob):
    rejected(world, client, alice, 1, 2)
    (refused,) = rejected(world, client, bob, 3, error="SomethingElse")
    with world.database.write() as connection:
        park_lane(connection, bob.did)
    upload(client, bob, seed=4)

    def hit(**which):
        body = read(client, admin, "/ops/failures", by="account", **which)
        return [(each["did"], each["records"]) for each in body["accounts"]], body["cursor"]

    everyone = [(alice.did, 2), (bob.did, 2)]
    assert hit() == (everyone, None)
    first, cursor = hit(limit=1)
    assert first == everyone[:1]
    assert hit(limit=1, cursor=cursor) == (everyone[1:], None)
    (cause,) = by_cause(client, admin, error="SomethingElse")
    assert hit(cause=cause["id"]) == ([(bob.did, 1)], None)
    assert hit(state="parked", reason="auth_required") == ([(bob.did, 1)], None)
    assert hit(state="parked", reason="gone") == ([], None)
    named = {"last_error": "InvalidRecord: Record/title must not be longer"}
    is_one = mirror_target.c.subject_id == refused["id"]
    world.execute(update(mirror_target).where(is_one).values(named))
    assert hit(field="title") == ([(bob.did, 1)], None)
    (found,) = read(client, admin, "/ops/failures", field="title")["items"]
    assert found["track_id"] == refused["id"]


def test_a_record_of_another_kind_fails_beside_the_track_with_its_id(world, client, admin, alice):
    (track,) = rejected(world, client, alice, 1)
    world.pds.write_refusals.append((400, "InvalidRecord"))
    comment = a_comment(track["id"], did=alice.did, track_cid=A_RECORD["cid"])
    world.log.transact(alice.did, over_http(alice.did), lambda unit: unit.save(comment))
    world.deliver()
    first = read(client, admin, "/ops/failures", limit=1)
    last = read(client, admin, "/ops/failures", limit=1, cursor=first["cursor"])
    found = [(each["kind"], each["track_id"]) for page in (first, last) for each in page["items"]]
    assert (found, last["cursor"]) == ([("comment", None), ("track", track["id"])], None)
    (cause,) = read(client, admin, "/ops/failures", by="cause")["causes"]
    assert (cause["records"], cause["sample"]["kind"], cause["sample"]["track_id"]) == (2, "comment", None)
    entries = read(client, admin, "/audit", did=alice.did, type="Created")["items"]
    assert [(each["kind"], each["subject_id"], each["track_id"]) for each in entries] == [
        ("comment", comment.comment_id, None), ("track", track["id"], track["id"]),
    ]  # fmt: skip
    assert act(client, admin, "/ops/failures", action="redrive", cause=cause["id"]).json()["affected"] == 2


def test_every_record_that_is_not_delivered_is_listed_with_since_when(world, client, admin, alice, bob):
    held, gone, silent, done = (upload(client, alice, seed=seed) for seed in (1, 2, 3, 4))
    world.deliver()
    copies = {**alice.headers, "Prefer": "wait=0"}
    client.post(f"/tracks/{silent['id']}/migrate-to-pds", headers=copies)
    world.pds.upload_refusal = (400, "InvalidMimeType")
    world.pds.records[held["atproto_record_uri"]] |= {"title": "theirs"}
    del world.pds.records[gone["atproto_record_uri"]]
    for track in (held, gone):
        client.patch(f"/tracks/{track['id']}", json={"album": "two"}, headers=alice.headers)
    world.deliver()
    (refused,) = rejected(world, client, alice, 5)
    with world.database.write() as connection:
        park_lane(connection, bob.did)
    parked, new = upload(client, bob, seed=6), upload(client, alice, seed=7)

    listed = read(client, admin, "/ops/failures", undelivered="true")["items"]
    assert [(each["track_id"], each["state"], each["reason"]) for each in listed] == [
        (held["id"], "held", "foreign_edit"),
        (gone["id"], "detached", "record_missing"),
        (silent["id"], "delivered", None),
        (refused["id"], "rejected", "InvalidRecord"),
        (parked["id"], "parked", "auth_required"),
        (new["id"], "pending", "sending"),
    ]
    assert done["id"] not in {each["track_id"] for each in listed}
    assert "InvalidMimeType" in listed[2]["blob_error"]
    history = {
        each["id"]: read(client, admin, f"/tracks/{each['id']}/history")["items"]
        for each in (held, gone, new)
    }
    for row, event in (
        (listed[0], "ForeignEditObserved"),
        (listed[1], "RecordMissing"),
        (listed[5], "Created"),
    ):
        (at,) = (each["at"] for each in history[row["track_id"]] if each["type"] == event)
        assert row["since"] == at
    assert listed[3]["since"] == listed[3]["failing_since"]
    assert all(each["since"] for each in listed)
    overview = read(client, admin, "/ops/overview")
    assert overview["ready_accounts"] == 2  # alice and the admin
    assert {(each["state"], each["reason"]): each["since"] for each in overview["waits"]} == {
        (row["state"], row["reason"] if row["state"] == "parked" else None): row["since"]
        for row in (*listed[:2], *listed[3:5])
    }
    assert {(each["records"], each["accounts"]) for each in overview["waits"]} == {(1, 1)}

    first = read(client, admin, "/ops/failures", undelivered="true", limit=4)
    rest = read(client, admin, "/ops/failures", undelivered="true", limit=4, cursor=first["cursor"])
    assert first["items"] + rest["items"] == listed
    of_bob = read(client, admin, "/ops/failures", undelivered="true", did=bob.did)["items"]
    assert of_bob == read(client, admin, "/ops/failures", undelivered="true", state="parked")["items"]
    assert [each["track_id"] for each in of_bob] == [parked["id"]]
    client.patch(f"/tracks/{silent['id']}", json={"support_gate": {"type": "any"}}, headers=alice.headers)
    world.deliver()  # its audio is no longer to be on the PDS
    assert read(client, admin, "/ops/failures", undelivered="true", state="delivered")["items"] == []


def test_failures_are_read_and_redriven_by_cause(world, client, admin, alice, bob):
    one, two = rejected(world, client, alice, 1), rejected(world, client, bob, 2)
    rejected(world, client, alice, 3, error="SomethingElse")
    other, cause = by_cause(client, admin)
    assert (other["error"], cause["error"]) == ("SomethingElse", "InvalidRecord")
    assert (cause["host"], cause["phase"], cause["status"], cause["kind"]) == (HOST, "write", 400, "rejected")
    assert (cause["failures"], cause["records"], cause["trend"][-2:]) in [(2, 2, [0, 2]), (2, 2, [2, 0])]
    assert cause["first_seen_at"] < cause["last_seen_at"] < other["first_seen_at"]
    assert cause["sample"] == {
        "did": bob.did,
        "kind": "track",
        "track_id": two[0]["id"],
        "error": read(client, admin, "/ops/failures", did=bob.did)["items"][0]["last_error"],
    }
    assert by_cause(client, admin, error="SomethingElse", host=HOST) == [other]
    first = read(client, admin, "/ops/failures", by="cause", limit=1)
    rest = read(client, admin, "/ops/failures", by="cause", limit=1, cursor=first["cursor"])
    assert (first["causes"], rest["causes"], rest["cursor"]) == ([other], [cause], None)

    records = read(client, admin, "/ops/failures", cause=cause["id"])["items"]
    assert [each["track_id"] for each in records] == [one[0]["id"], two[0]["id"]]
    assert {each["cause"] for each in records} == {cause["id"]}
    assert all(each["failing_since"] and each["last_success_at"] is None for each in records)

    redrive = {"action": "redrive", "cause": cause["id"]}
    counted = act(client, admin, "/ops/failures", **redrive, dry_run=True)
    assert counted.json()["affected"] == cause["records"]
    refused = act(client, admin, "/ops/failures", **redrive, expected=1)
    assert (refusal(refused), refused.json()["detail"]["current"]) == ((409, "count_changed"), 2)
    assert len(read(client, admin, "/ops/failures", cause=cause["id"])["items"]) == 2
    assert act(client, admin, "/ops/failures", **redrive, expected=2).json()["affected"] == 2
    world.deliver()
    assert [each["records"] for each in by_cause(client, admin)] == [1, 0]


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


@ON_SQLITE
@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"by": "host"}, "by"),
        ({"by": "cause", "did": "did:plc:a"}, "did"),
        ({"by": "cause", "state": "rejected"}, "state"),
        ({"by": "cause", "cursor": "40"}, "cursor"),
        ({"by": "cause", "cursor": "2026-01-01T00:00:00_x"}, "cursor"),
        ({"by": "cause", "cursor": "2026-01-01T00:00:00Z_"}, "cursor"),
        ({"cursor": "2026-01-01T00:00:00Z_x"}, "cursor"),
    ],
)
def test_a_filter_or_cursor_that_does_not_fit_is_refused(client, admin, wanted, field):
    answer = client.get("/ops/failures", params=wanted, headers=admin.headers)
    assert (refusal(answer), answer.json()["detail"]["field"]) == ((400, "invalid_field"), field)


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


@ON_SQLITE
def test_nothing_drains_where_all_that_waits_was_rejected(world, client, alice):
    rejected(world, client, alice, 1)
    lane = read(client, alice, "/me/mirror")
    assert (lane["waiting"], lane["drains_in"], lane["stalled_by"]) == ({"rejected": 1}, None, "rejected")
    upload(client, alice, seed=2)
    lane = read(client, alice, "/me/mirror")
    assert (lane["drains_in"] > 0, lane["stalled_by"]) == (True, None)


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
    counted = {"action": "pause", "affected": 1, "sent_at_once": None, "dry_run": True}
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
