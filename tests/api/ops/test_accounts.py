"""One account as operators see it: its lane, its sessions and tokens; and how far an action has come."""

from sqlalchemy import delete, insert

from identity.accounts.credentials import CredentialKind
from identity.sessions.session_store import PdsSessionState, pds_session
from outbox.mirror.lanes import park_lane
from tests.api.ops.requests import act, by_cause, read, rejected
from tests.api.world import refusal, upload
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

LOGIN = {"kind": "oauth", "pds_url": HOST, "scope": "atproto", "generation": 1}


def logs_in(world, did, **columns):
    with world.database.write() as connection:
        now = world.database.now(connection)
        connection.execute(delete(pds_session).where(pds_session.c.did == did))
        values = {
            **LOGIN,
            "did": did,
            "status": PdsSessionState.ACTIVE,
            "updated_at": now,
            "sealed": b"secret",
        }
        connection.execute(insert(pds_session).values({**values, **columns}))
        return now


def test_a_lane_says_what_waits_for_what_and_since_when(world, client, operator, alice):
    (refused,) = rejected(world, client, alice, 1)
    waiting = upload(client, alice, seed=2)
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    lane = read(client, operator, f"/ops/lanes/{alice.did}")
    assert (lane["handle"], lane["state"], lane["reason"]) == ("alice.test", "auth_required", "auth_required")
    assert lane["waiting"] == {"parked": 1, "rejected": 1}
    assert [(each["track_id"], each["state"]) for each in lane["records"]] == [
        (refused["id"], "rejected"),
        (waiting["id"], "parked"),
    ]
    assert lane["pds"] == read(client, operator, "/ops/hosts")["items"][0]
    assert (lane["next_attempt_at"], lane["under_way"]) == (None, False)
    assert refusal(client.get("/ops/lanes/did:plc:none", headers=operator.headers)) == (404, "not_found")


def test_a_lane_tells_the_state_of_its_login_and_no_secret(world, client, operator, alice):
    def login():
        answer = client.get(f"/ops/lanes/{alice.did}", headers=operator.headers)
        assert "secret" not in answer.text
        return answer.json()["login"]

    assert login()["state"] == "none"
    now = logs_in(world, alice.did)
    assert (login()["state"], login()["kind"], login()["expires_at"]) == ("signed_in", "oauth", None)
    logs_in(world, alice.did, access_expires_at=now)
    assert login()["state"] == "expired"
    logs_in(world, alice.did, status=PdsSessionState.REAUTH_REQUIRED, sealed=None, last_error="invalid_grant")
    assert (login()["state"], login()["problem"]) == ("ended", "invalid_grant")


def tokens_of(client, person, did):
    return read(client, person, f"/ops/accounts/{did}/tokens")["items"]


def end(client, person, did, **body):
    return client.post(f"/ops/accounts/{did}/tokens/end", json=body, headers=person.headers)


def test_an_admin_ends_one_session_of_an_account_and_then_all(world, client, admin, operator, alice):
    others = [world.sign_in("alice", kind=CredentialKind.API) for _ in range(2)]
    shown = tokens_of(client, operator, alice.did)
    assert sorted(each["kind"] for each in shown) == ["api", "api", "browser"]
    assert alice.token not in str(shown)
    session = next(each["id"] for each in shown if each["kind"] == "browser")

    counted = end(client, admin, alice.did, token_id=session, reason="r", dry_run=True)
    assert counted.json() == {"ended": 1, "dry_run": True}
    assert client.get("/me", headers=alice.headers).status_code == 200
    assert end(client, admin, alice.did, token_id=session, reason="stolen").json()["ended"] == 1
    assert client.get("/me", headers=alice.headers).status_code == 401
    again = end(client, admin, alice.did, token_id=session, reason="stolen")
    assert refusal(again) == (404, "not_found")

    assert refusal(end(client, admin, alice.did, reason="all", expected=3)) == (409, "count_changed")
    assert {client.get("/me", headers=each.headers).status_code for each in others} == {200}
    assert end(client, admin, alice.did, reason="all", expected=2).json()["ended"] == 2
    assert {client.get("/me", headers=each.headers).status_code for each in others} == {401}
    assert tokens_of(client, operator, alice.did) == []

    acted = read(client, operator, "/audit", did=alice.did, type="OperatorActed")["items"]
    assert [row["actor"] for row in acted] == [admin.did] * 2
    assert [(each["field"], each["after"]) for each in acted[1]["changes"]] == [
        ("action", "end_tokens"),
        ("filter", {"did": alice.did, "token_id": session}),
        ("affected", 1),
        ("reason", "stolen"),
    ]


def test_tokens_of_an_account_that_is_not_here_are_not_found(client, admin):
    assert refusal(end(client, admin, "did:plc:none", reason="r"))[0] == 404
    assert client.get("/ops/accounts/did:plc:none/tokens", headers=admin.headers).status_code == 404


def progress(client, person, **wanted):
    found = read(client, person, "/ops/progress", **wanted)
    return found["waiting"], found["failing"]


def test_a_redrive_says_how_many_of_its_records_wait_and_how_many_failed_again(
    world, client, admin, operator, alice
):
    rejected(world, client, alice, 1, 2)
    rejected(world, client, alice, 3, error="SomethingElse")
    cause = next(each["id"] for each in by_cause(client, admin) if each["error"] == "InvalidRecord")
    redrive = {"action": "redrive", "cause": cause}
    assert progress(client, operator, **redrive) == (0, 2)
    assert act(client, admin, "/ops/failures", **redrive).json()["affected"] == 2
    assert progress(client, operator, **redrive) == (2, 0)
    assert progress(client, operator, action="redrive", did=alice.did) == (2, 1)
    world.pds.write_refusals = [(400, "InvalidRecord")]
    world.deliver()
    assert progress(client, operator, **redrive) == (0, 1)
    act(client, admin, "/ops/failures", **redrive)
    world.deliver()
    assert progress(client, operator, **redrive) == (0, 0)


def test_a_redriven_upload_waits_until_it_was_tried_again(world, client, admin, operator, alice):
    track = upload(client, alice)
    world.deliver()
    client.post(f"/tracks/{track['id']}/migrate-to-pds", headers={**alice.headers, "Prefer": "wait=0"})
    world.pds.upload_refusal = (500, "InternalServerError")
    world.deliver()
    redrive = {"action": "redrive", "did": alice.did}
    assert progress(client, operator, **redrive) == (0, 1)
    act(client, admin, "/ops/failures", **redrive)
    assert progress(client, operator, **redrive) == (1, 0)
    world.deliver()
    assert progress(client, operator, **redrive) == (0, 1)


def test_a_resume_says_how_many_accounts_still_have_something_to_send(world, client, admin, operator, alice):
    world.deliver()
    upload(client, alice)
    act(client, admin, "/ops/hosts", action="pause", host=HOST)
    assert progress(client, operator, action="pause", host=HOST) == (0, 0)
    act(client, admin, "/ops/hosts", action="resume", host=HOST)
    assert progress(client, operator, action="resume", host=HOST) == (1, 0)
    world.deliver()
    assert progress(client, operator, action="resume", host=HOST) == (0, 0)


def test_the_overview_counts_what_waits_and_what_failed(world, client, operator, alice):
    rejected(world, client, alice, 1)
    upload(client, alice, seed=2)
    found = read(client, operator, "/ops/overview")
    assert found["records"] == found["accounts"] == {"rejected": 1, "pending": 1}
    assert (len(found["failures"]), sum(found["failures"])) == (24, 1)
    assert found["release"]["version"]


def test_one_token_ends_with_those_that_it_made_as_they_were_counted(client, admin, alice):
    stolen = client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers).json()
    with_it = {"Authorization": f"Bearer {stolen['token']}"}
    made = client.post("/auth/tokens", json={"name": "x"}, headers=with_it).json()
    path = f"/ops/accounts/{alice.did}/tokens"
    shown = client.get(path, params={"token_id": stolen["id"]}, headers=admin.headers).json()["items"]
    assert {each["id"] for each in shown} == {stolen["id"], made["id"]}
    which = {"reason": "stolen", "token_id": stolen["id"]}
    counted = end(client, admin, alice.did, **which, dry_run=True)
    assert counted.json()["ended"] == len(shown)
    assert refusal(end(client, admin, alice.did, **which, expected=1)) == (409, "count_changed")
    assert end(client, admin, alice.did, **which, expected=2).json()["ended"] == 2
    assert client.get("/me", headers={"Authorization": f"Bearer {made['token']}"}).status_code == 401
    assert client.get("/me", headers=alice.headers).status_code == 200
