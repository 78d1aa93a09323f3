"""Records that are not delivered: by error, record, account and cause."""

from sqlalchemy import update

from api.middleware.http_layer import over_http
from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import mirror_target
from tests.api.ops.requests import act, by_cause, read, rejected
from tests.api.world import refusal, upload
from tests.dsl import A_RECORD, a_comment
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE


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


@ON_SQLITE
def test_a_filter_or_cursor_that_does_not_fit_is_refused(client, admin):
    for wanted, field in (
        ({"by": "host"}, "by"),
        ({"by": "cause", "did": "did:plc:a"}, "did"),
        ({"by": "cause", "state": "rejected"}, "state"),
        ({"by": "cause", "cursor": "40"}, "cursor"),
        ({"by": "cause", "cursor": "2026-01-01T00:00:00_x"}, "cursor"),
        ({"by": "cause", "cursor": "2026-01-01T00:00:00Z_"}, "cursor"),
        ({"cursor": "2026-01-01T00:00:00Z_x"}, "cursor"),
    ):
        answer = client.get("/ops/failures", params=wanted, headers=admin.headers)
        assert (refusal(answer), answer.json()["detail"]["field"]) == ((400, "invalid_field"), field)
