"""API tokens: created, listed and ended by their owner, and logged without the token."""

import json
from datetime import UTC, datetime
from functools import partial
from unittest.mock import Mock

import pytest
from sqlalchemy import select

from identity.accounts.accounts import request_deletion
from identity.accounts.credentials import Scope
from storage.cid import cid_of
from storage.media import media
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def issue(client, person, **body):
    return client.post("/auth/tokens", json={"name": "ci", **body}, headers=person.headers)


def listed(client, person):
    items = client.get("/auth/tokens", headers=person.headers).json()["items"]
    return [(each["kind"], each["name"], each["scope"], each["current"]) for each in items]


def end(client, person, token_id):
    return client.delete(f"/auth/tokens/{token_id}", headers=person.headers)


def told(client, person, **wanted):
    rows = client.get("/audit", params=wanted, headers=person.headers).json()["items"]
    return [
        (row["type"], {each["field"]: each["after"] for each in row["changes"]}) for row in reversed(rows)
    ]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_what_its_scope_says_and_nothing_once_it_is_ended(client, alice):
    answer = issue(client, alice, scope="read", expires_in_days=7)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    with_it = bearer(made["token"])
    assert client.get("/me", headers=with_it).json()["scope"] == "read"
    assert refusal(client.post("/auth/tokens", json={"name": "x"}, headers=with_it)) == (
        403,
        "scope_required",
    )
    assert listed(client, alice) == [("api", "ci", "read", False), ("browser", "t", "write", True)]
    assert end(client, alice, made["id"]).status_code == 200
    assert client.get("/me", headers=with_it).status_code == 401
    assert listed(client, alice) == [("browser", "t", "write", True)]


@pytest.mark.parametrize(
    ("command", "body"),
    [("PATCH", {"title": "Second"}), ("PATCH", {"title": 5}), ("PATCH", {"no": "field"}), ("DELETE", None)],
)
def test_a_token_that_a_process_remembers_ends_at_once(client, alice, command, body):
    track = upload(client, alice)
    made = client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers).json()
    with_it, path = bearer(made["token"]), f"/tracks/{track['id']}"
    assert client.patch(path, json={"title": "First"}, headers=with_it).status_code == 200
    assert end(client, alice, made["id"]).status_code == 200
    assert refusal(client.request(command, path, json=body, headers=with_it)) == (401, "not_authenticated")
    read = client.get(path, headers=alice.headers)
    assert (read.status_code, read.json()["title"]) == (200, "First")


@pytest.mark.parametrize("kind", ["multipart/form-data", "Multipart/Form-Data"])
def test_a_token_that_has_ended_brings_no_file_although_a_process_remembers_it(client, world, alice, kind):
    track = upload(client, alice)
    made = client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers).json()
    with_it = bearer(made["token"])
    assert client.patch(f"/tracks/{track['id']}", json={"title": "First"}, headers=with_it).is_success
    assert end(client, alice, made["id"]).status_code == 200
    file = ("song.mp3", samples.mp3(7), "audio/mpeg")
    whole = client.build_request("POST", "/tracks", data={"title": "Song"}, files={"file": file})
    as_named = whole.headers["content-type"].replace("multipart/form-data", kind)
    answer = client.post("/tracks", content=whole.read(), headers=with_it | {"content-type": as_named})
    assert refusal(answer) == (401, "not_authenticated")
    kept = world.scalars(select(media.c.cid))
    assert cid_of(samples.mp3(7)) not in kept


def test_an_account_that_is_leaving_edits_nothing_with_a_token_that_a_process_remembers(client, world, alice):
    track = upload(client, alice)
    edit = partial(client.patch, f"/tracks/{track['id']}", headers=alice.headers)
    assert edit(json={"title": "First"}).status_code == 200
    with world.database.write() as connection:
        request_deletion(connection, alice.did, datetime.now(UTC))
    assert refusal(edit(json={"title": "Second"})) == (409, "leaving")


@pytest.mark.anyio
async def test_an_upload_is_refused_where_its_token_has_ended_meanwhile(world, alice):
    async with world.async_client(alice) as owner:
        made = (await owner.post("/auth/tokens", json={"name": "ci"})).json()
        file = ("song.mp3", samples.mp3(1), "audio/mpeg")
        whole = owner.build_request("POST", "/tracks", data={"title": "Song"}, files={"file": file})
        content = whole.read()

        async def slowly():
            yield content[:1000]
            assert (await owner.delete(f"/auth/tokens/{made['id']}")).status_code == 200
            yield content[1000:]

        headers = bearer(made["token"]) | {"content-type": whole.headers["content-type"]}
        answer = await owner.post("/tracks", content=slowly(), headers=headers)
        assert refusal(answer) == (401, "session_expired")
        assert (await owner.get("/me/tracks")).json()["items"] == []
        again = await owner.post(
            "/tracks", content=content, headers={"content-type": whole.headers["content-type"]}
        )
        assert again.status_code == 201


def test_the_log_says_so_once_and_knows_no_token(world, client, alice):
    made = issue(client, alice).json()
    end(client, alice, made["id"])
    assert refusal(end(client, alice, made["id"])) == (404, "not_found")
    events = told(client, alice)
    assert [event for event, _ in events] == ["Opened", "TokenIssued", "TokenRevoked"]
    assert events[1][1] == {
        "token_id": made["id"], "name": "ci", "scope": "write", "expires_at": made["expires_at"].replace("Z", "+00:00"),
    }  # fmt: skip
    assert made["token"] not in json.dumps(world.state(), default=repr)


def test_row_and_event_are_one(client, alice, monkeypatch):
    for name in ("issue_token", "revoke_token"):
        made = issue(client, alice).json()
        before = listed(client, alice)
        with monkeypatch.context() as patched:
            patched.setattr(
                f"aggregates.accounts.account.Account.{name}", Mock(side_effect=ZeroDivisionError)
            )
            answer = issue(client, alice) if name == "issue_token" else end(client, alice, made["id"])
        assert answer.status_code == 500
        assert listed(client, alice) == before


def test_a_token_that_a_program_makes_ends_with_the_programs_own(client, alice):
    """A stolen token that is valid for a day gives no access for longer."""
    maker = issue(client, alice, expires_in_days=1).json()
    made = client.post(
        "/auth/tokens", json={"name": "x", "expires_in_days": 365}, headers=bearer(maker["token"])
    )
    assert made.json()["expires_at"] == maker["expires_at"]
    shorter = client.post(
        "/auth/tokens", json={"name": "x", "expires_in_days": 1}, headers=bearer(made.json()["token"])
    )
    assert shorter.json()["expires_at"] == maker["expires_at"]
    assert issue(client, alice, expires_in_days=365).json()["expires_at"] > maker["expires_at"]


def generations(client, person, depth):
    """A token, one that was made with it, and so on: the id and the headers of each."""
    made, headers = [], person.headers
    for _ in range(depth):
        issued = client.post("/auth/tokens", json={"name": "ci"}, headers=headers).json()
        headers = bearer(issued["token"])
        made.append((issued["id"], headers))
    return made


def opens(client, made):
    return [client.get("/me", headers=headers).status_code == 200 for _, headers in made]


def test_what_a_token_made_ends_with_it_at_any_depth_and_the_log_says_so(client, alice):
    family, stranger = generations(client, alice, 4), generations(client, alice, 1)
    assert end(client, alice, family[1][0]).status_code == 200
    assert opens(client, family) == [True, False, False, False]
    assert opens(client, stranger) == [True]
    ended = [fields["token_id"] for event, fields in told(client, alice) if event == "TokenRevoked"]
    assert sorted(ended) == sorted(token_id for token_id, _ in family[1:])


def test_a_token_made_in_a_browser_stays_when_the_session_ends(client, alice):
    made = generations(client, alice, 2)
    assert client.post("/auth/logout", headers=alice.headers).status_code == 200
    assert client.get("/me", headers=alice.headers).status_code == 401
    assert opens(client, made) == [True, True]


def test_a_token_that_ends_all_others_stays_although_one_of_them_made_it(client, alice):
    made = generations(client, alice, 3)
    assert client.delete("/auth/tokens", headers=made[1][1]).json()["ended"] == 3
    assert opens(client, made) == [False, True, False]


def test_all_others_are_ended_at_once(client, world, alice, bob):
    stolen = [issue(client, alice).json()["token"], world.sign_in("alice").token]
    others = issue(client, bob).json()["token"]
    assert client.delete("/auth/tokens", headers=alice.headers).json() == {"message": "ended", "ended": 2}
    assert [client.get("/me", headers=bearer(each)).status_code for each in stolen] == [401, 401]
    assert client.get("/me", headers=bearer(others)).status_code == 200
    assert listed(client, alice) == [("browser", "t", "write", True)]
    assert told(client, alice)[-1][0] == "TokenRevoked"


def test_tokens_of_other_accounts_are_neither_listed_nor_ended(client, alice, bob):
    made = issue(client, alice).json()
    assert ("api", "ci", "write", False) not in listed(client, bob)
    assert {refusal(end(client, bob, each)) for each in (made["id"], "%00")} == {(404, "not_found")}
    assert client.get("/me", headers=bearer(made["token"])).status_code == 200


def test_only_a_session_of_scope_admin_creates_admin_tokens(client, world, alice, admin):
    pretender, writer = world.sign_in("alice", scope=Scope.ADMIN), world.sign_in("admin")
    for person in (alice, pretender, writer):
        refused = issue(client, person, scope="admin")
        assert refusal(refused) == (403, "scope_required")
        assert "does not include 'admin'." in refused.json()["detail"]["message"]
    token = issue(client, admin, scope="admin").json()["token"]
    assert client.get("/ops/hosts", headers=bearer(token)).status_code == 200


def test_an_operators_session_creates_tokens_that_only_read_and_they_create_none(client, world):
    operator, ordinary = world.sign_in("operator", scope=Scope.OPERATOR), world.sign_in("operator")
    assert refusal(issue(client, ordinary, scope="operator")) == (403, "scope_required")
    for scope in ("write", "admin"):
        assert refusal(issue(client, operator, scope=scope)) == (403, "scope_required")
    assert issue(client, operator, scope="read").status_code == 201
    token = issue(client, operator, scope="operator").json()["token"]
    assert client.get("/ops/hosts", headers=bearer(token)).status_code == 200
    again = client.post("/auth/tokens", json={"name": "x", "scope": "read"}, headers=bearer(token))
    assert refusal(again) == (403, "scope_required")


NOT_NAMES = [
    "The operator", "the\u00a0OPERATOR", "The-operator.", "\uff34he Operator", "mastertape", "Master tape", "The mastertape relay",
    "service", "Relay", "you", "App password", "\u3164", "\u2800 \u2800", "the\u200boperator", "", "x" * 101, "two\nlines", "\x1b[2J", "\u202egnirts", "a\0b",
]  # fmt: skip


def test_no_token_has_a_name_that_history_gives_to_others_or_none_that_can_be_seen(subtests, client, alice):
    for name in NOT_NAMES:
        with subtests.test(repr(name)):
            answer = issue(client, alice, name=name)
            assert (refusal(answer), answer.json()["detail"]["field"]) == ((400, "invalid_field"), "name")
    for name in ("theremin", "mastertape-cli", "relay 2", "♫", "آلة"):
        assert issue(client, alice, name=name).json()["name"] == name
