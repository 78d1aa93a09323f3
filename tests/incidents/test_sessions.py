"""Logins: work belongs to an account and not to a session, and a token to one account."""

import asyncio

import httpx
import pytest
from pydantic import SecretStr

from demo.service import Client
from devpds.server import DevPds, DevPlc
from identity.sessions.app_password_grants import create_session
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.eventually import eventually
from tests.fake_pds.internet import FakeInternet
from tests.faults.faults import answer, delay
from tests.faults.proxy import FaultProxy, of_repo
from tests.identity.sessions.refresh_race import PROCESSES, generation, keep, race
from tests.identity.sessions.refresh_worker import ROUNDS
from tests.identity.sessions.stored_sessions import dump
from tests.incidents.records import told
from tests.incidents.two_hosts import Alice
from tests.servers.atproto import new_account
from tests.servers.databases import KINDS

REVOKE = "com.atproto.server.revokeAppPassword"


@pytest.fixture
def ended(published: Artist, proxy: FaultProxy) -> Artist:
    """An artist whose login the PDS ends: the access token is over, and the refresh token is worth nothing."""
    published.pds.procedure(REVOKE, {"name": "mastertape"}, by=published.did)
    ours = of_repo(published.did)
    proxy.on("putRecord", fault=answer(400, "ExpiredToken", "Token has expired"), times=1, matches=ours)
    proxy.seen.clear()
    return published


def signs_in(artist: Artist) -> None:
    password = artist.pds.create_app_password(artist.did, "once more")
    Client(str(artist.client.http.base_url), artist.did, password).http.close()


@pytest.mark.pds
def test_inc_04_edits_wait_for_the_next_sign_in_and_arrive_as_one_write(
    ended: Artist, proxy: FaultProxy
) -> None:
    for title in ("Second Thoughts", "Third Wind", "Last Word"):
        ended.edits(title=title)
    eventually(lambda: ended.mirror["reason"] == "auth_required")
    assert told(ended.record)["title"] == "First Take"

    signs_in(ended)

    assert told(ended.agreed())["title"] == "Last Word"
    taken = proxy.passed("putRecord", matches=lambda it: it.fault == "pass_on")
    assert [it.json["record"]["title"] for it in taken] == ["Last Word"]
    statuses = [row["delivery"]["status"] for row in ended.client.history(ended.track_id)]
    assert statuses == ["delivered", "superseded", "superseded", "delivered"]


@pytest.mark.pds
def test_inc_43_a_login_that_is_over_is_told_where_it_matters_and_fails_no_request(ended: Artist) -> None:
    edited = ended.client.http.patch(f"/tracks/{ended.track_id}", json={"title": "Meanwhile"})

    assert (edited.status_code, edited.json()["title"]) == (200, "Meanwhile")
    eventually(lambda: ended.mirror["reason"] == "auth_required")
    lane = ended.client.http.get("/me/mirror").json()
    assert (lane["state"], lane["waiting"]) == ("auth_required", {"parked": 1})
    assert ended.asks(MIGRATE).status_code == 202
    password = {"identifier": ended.did, "password": "the revoked one"}
    refused = ended.client.http.post("/auth/app-password", json=password)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (401, "bad_credentials")


@pytest.mark.pds
@pytest.mark.parametrize("database_url", KINDS[1:], indirect=True)
def test_inc_19_three_processes_that_all_need_the_next_token_ask_for_it_once(
    *, database, cipher, hooks, proxied_pds: DevPds, plc: DevPlc, proxy: FaultProxy
) -> None:
    """30 threads find the token expired at the same instant, three times over. tests/identity/sessions/test_refresh_processes.py: on both databases."""
    account = new_account(proxied_pds, plc)

    async def sign_in():
        async with httpx.AsyncClient() as http:
            password = SecretStr(account.app_password)
            return await create_session(http, proxied_pds.url, account.did, password)

    keep(database, cipher, hooks, account.did, proxied_pds.url, tokens=asyncio.run(sign_in()))
    proxy.seen.clear()
    proxy.on("refreshSession", fault=delay(0.3))  # long enough for the others to begin too

    said = race(database, proxied_pds.url, account.did)

    assert said == ["all good\n"] * PROCESSES
    assert len(proxy.passed("refreshSession")) == ROUNDS
    assert generation(database) == ROUNDS + 1


def test_inc_23_a_moved_account_is_followed_whatever_the_host_that_it_left_says(alice_in_town: Alice) -> None:
    """tests/e2e/test_account_moves.py moves an account between two real PDSes."""
    alice = alice_in_town
    alice.uploads()
    alice.moves()

    assert alice.http.patch(alice.path, json={"title": "Moved"}).status_code == 200
    eventually(lambda: alice.mirror["reason"] == "account_inactive")
    alice.http.post(f"{alice.path}/mirror/retry")

    eventually(lambda: alice.http.get("/me/mirror").json()["host"] == alice.new.origin)
    assert alice.mirror["reason"] == "auth_required"
    assert [each["title"] for each in alice.http.get("/tracks").json()["items"]] == ["Moved"]
    alice.signs_in()
    alice.is_delivered()
    assert alice.new.repo(alice.did).records[alice.key].value["title"] == "Moved"


def test_inc_29_no_table_and_no_file_holds_what_opens_a_door(
    alice_in_town: Alice, town: FakeInternet
) -> None:
    alice_in_town.uploads()
    town.pdses[0].tokens.expire(alice_in_town.did)
    alice_in_town.edits(title="With the next token")
    secrets = {*town.secrets, alice_in_town.http.headers["authorization"].removeprefix("Bearer ")}
    assert len(secrets) >= 6  # the password, two pairs of tokens, and the token of ours

    container = alice_in_town.container
    kept = [each.read_bytes() for each in container.settings.data.rglob("*") if each.is_file()]
    kept.append(dump(container.database))

    assert any(b"With the next token" in each for each in kept)
    assert not [secret for secret in secrets for each in kept if secret.encode() in each]
