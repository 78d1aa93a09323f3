"""Logins: work belongs to an account and not to a session, and a token to nobody else."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, select
from starlette.testclient import TestClient

from demo.service import Client
from devpds.server import DevPds, DevPlc
from eventstore.database import Database
from identity.session_calls import create_session
from service.app import asgi
from service.bootstrap import build
from service.settings import Settings
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.eventually import eventually
from tests.faults.faults import answer
from tests.faults.proxy import FaultProxy, of_repo
from tests.identity.refresh_worker import ROUNDS
from tests.identity.test_refresh_processes import PROCESSES, generation, keep, race
from tests.incidents.records import told
from tests.media_samples import samples
from tests.servers.atproto import new_account
from tests.simulation.fake_internet import FakeInternet

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
def test_inc_19_three_processes_that_all_need_the_next_token_ask_for_it_once(
    *, database, seal, hooks, proxied_pds: DevPds, plc: DevPlc, proxy: FaultProxy
) -> None:
    """Of 30 who find the token expired at the same instant, and that three times over."""
    account = new_account(proxied_pds, plc)

    async def sign_in():
        async with httpx.AsyncClient() as http:
            password = SecretStr(account.app_password)
            return await create_session(http, proxied_pds.url, account.did, password)

    keep(database, seal, hooks, account.did, proxied_pds.url, tokens=asyncio.run(sign_in()).tokens)
    proxy.seen.clear()

    said = race(database, proxied_pds.url, account.did)

    assert said == ["all good\n"] * PROCESSES
    assert len(proxy.passed("refreshSession")) == ROUNDS
    assert generation(database) == ROUNDS + 1


class Town(FakeInternet):
    """Two hosts, and alice, who lives at the old one."""

    did, handle = "did:plc:" + "a" * 24, "alice.example.com"

    def __init__(self) -> None:
        super().__init__("https://old.example.com", "https://new.example.com")
        self.old, self.new = self.pdses
        self.password = self.settle(self.did, self.handle, self.old)

    def moves(self) -> None:
        """She moves; the host that she left says that her account is inactive."""
        self.old.move_account(self.did, self.new)
        self.plc.place(self.did, self.handle, self.new.origin)


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Town:
    made = Town()
    monkeypatch.setattr(
        "service.bootstrap.client_of_people", lambda _settings: httpx.AsyncClient(transport=made)
    )
    return made


@pytest.fixture
def everything(tmp_path, migrated_url) -> Settings:
    return Settings(data=tmp_path / "data", database_url=migrated_url, rate_limits=False)


@pytest.fixture
def served(everything: Settings, town: Town) -> Iterator[TestClient]:  # noqa: ARG001
    """The whole service in this process, its relay at work."""
    with TestClient(asgi(build(everything)), base_url="http://127.0.0.1:8000") as client:
        yield client


def alice_signs_in(served: TestClient, town: Town) -> None:
    body = {"identifier": town.did, "password": town.password}
    served.headers["authorization"] = f"Bearer {served.post('/auth/app-password', json=body).json()['token']}"
    served.cookies.clear()


def alice_uploads(served: TestClient) -> str:
    track = served.post("/tracks", data={"title": "First Take"}, files={"file": samples.mp3(1)}).json()
    path = f"/tracks/{track['id']}"
    eventually(lambda: served.get(path).json()["mirror"]["state"] == "delivered")
    return path


def test_inc_23_a_moved_account_is_followed_whatever_the_host_that_it_left_says(
    served: TestClient, town: Town
) -> None:
    alice_signs_in(served, town)
    path = alice_uploads(served)
    town.moves()

    assert served.patch(path, json={"title": "Moved"}).status_code == 200
    eventually(lambda: served.get(path).json()["mirror"]["reason"] == "account_inactive")
    served.post(f"{path}/mirror/retry")

    eventually(lambda: served.get("/me/mirror").json()["host"] == town.new.origin)
    assert served.get(path).json()["mirror"]["reason"] == "auth_required"
    assert [each["title"] for each in served.get("/tracks").json()["items"]] == ["Moved"]
    alice_signs_in(served, town)
    eventually(lambda: served.get(path).json()["mirror"]["state"] == "delivered")
    [record] = town.new.repo(town.did).records.values()
    assert record.value["title"] == "Moved"


def test_inc_29_no_table_and_no_file_holds_what_opens_a_door(
    served: TestClient, town: Town, everything: Settings, migrated_url: str
) -> None:
    alice_signs_in(served, town)
    path = alice_uploads(served)
    town.old.tokens.expire(town.did)
    served.patch(path, json={"title": "With the next token"})
    eventually(lambda: served.get(path).json()["mirror"]["state"] == "delivered")
    secrets = {*town.secrets, served.headers["authorization"].removeprefix("Bearer ")}
    assert len(secrets) >= 6  # the password, two pairs of tokens, and the token of ours

    kept = [each.read_bytes() for each in everything.data.rglob("*") if each.is_file()]
    kept.append(dump_of(migrated_url).encode())

    assert any(b"With the next token" in each for each in kept)
    assert not [secret for secret in secrets for each in kept if secret.encode() in each]


def dump_of(url: str) -> str:
    """All rows of all tables as text."""
    database, tables = Database(url), MetaData()
    with database.read() as connection:
        tables.reflect(connection)
        rows = [connection.execute(select(table)).all() for table in tables.sorted_tables]
    database.close()
    return repr(rows)
