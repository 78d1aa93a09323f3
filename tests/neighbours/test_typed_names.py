"""Hosts that never answer, named by accounts or signing in, take few of the connections that others need."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from api.pipeline import concurrency
from api.pipeline.pds import MAX_CHECKS_OF_AN_ACCOUNT
from identity.resolution import address_policy, resolver
from service.cli.serve import asgi
from service.config.settings import Settings
from service.wiring import bootstrap
from service.wiring.bootstrap import Container, build
from tests.api.client import TestClient
from tests.fake_pds.internet import FakeInternet
from tests.media_samples import samples
from tests.waits import until

CONNECTIONS = 3
PDS, ITS_OWN = "https://pds.example.com", "https://own.example.com"
ALICE, GREEDY = "did:plc:" + "a" * 24, "did:plc:" + "g" * 24
NAMES = [f"did:web:silent{number}.com" for number in range(10)]


class SmallPool(httpx.AsyncBaseTransport):
    """Has few connections; hosts with a silent prefix do not answer before `go_on`."""

    def __init__(self, internet: FakeInternet, silent: list[str], go_on: threading.Event) -> None:
        self.internet = internet
        self.silent = silent
        self.go_on = go_on
        self.taken = self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.taken == CONNECTIONS:
            raise httpx.PoolTimeout("all connections are taken")
        self.taken += 1
        self.most = max(self.most, self.taken)
        try:
            if request.url.host.startswith(tuple(self.silent)):
                while not self.go_on.is_set():  # noqa: ASYNC110 - an event of another thread
                    await asyncio.sleep(0.01)
            return await self.internet.handle_async_request(request)
        finally:
            self.taken -= 1


@pytest.fixture
def internet() -> FakeInternet:
    return FakeInternet(PDS, ITS_OWN)


@pytest.fixture
def silent() -> list[str]:
    return ["silent"]


@pytest.fixture
def pools(
    internet: FakeInternet, silent: list[str], go_on: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> list[SmallPool]:
    made: list[SmallPool] = []

    def pool(*_: object, **__: object) -> SmallPool:
        made.append(SmallPool(internet, silent, go_on))
        return made[-1]

    monkeypatch.setattr(address_policy, "GuardedTransport", pool)
    monkeypatch.setattr(resolver, "LOOKUP_TIMEOUT_SECONDS", 60.0)
    monkeypatch.setattr(bootstrap, "MAX_SIGN_IN_CONNECTIONS_OF_A_HOST", CONNECTIONS - 1)
    monkeypatch.setattr(address_policy, "MAX_TURN_WAIT_SECONDS", 0.1)
    return made


@pytest.fixture
def container(pools: list[SmallPool], tmp_path: Path, migrated_url: str) -> Container:
    assert pools == []
    return build(Settings(data=tmp_path / "data", database_url=migrated_url, rate_limits=False))


def signed_in(client: TestClient, did: str, password: str) -> dict[str, str]:
    answer = client.post("/auth/app-password", json={"identifier": did, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def uploaded(client: TestClient, headers: dict[str, str], seed: int) -> str:
    file = ("song.mp3", samples.mp3(seed), "audio/mpeg")
    answer = client.post("/tracks", data={"title": "Song"}, files={"file": file}, headers=headers)
    return f"/tracks/{answer.json()['id']}"


def test_names_at_silent_hosts_delay_no_sign_in_and_no_delivery(
    internet: FakeInternet, pools: list[SmallPool], go_on: threading.Event, container: Container
) -> None:
    pds = internet.pdses[0]
    passwords = {did: internet.settle(did, f"{did[-1]}.example.com", pds) for did in (ALICE, GREEDY)}
    with TestClient(asgi(container), base_url="http://127.0.0.1:8000") as client, ThreadPoolExecutor() as run:
        alice, greedy = (signed_in(client, did, password) for did, password in passwords.items())
        song, other = uploaded(client, alice, 1), uploaded(client, greedy, 2)
        attack = [run.submit(client.patch, other, json={"features": NAMES}, headers=greedy) for _ in range(4)]
        until(lambda: any(pool.taken == CONNECTIONS for pool in pools))
        signed_in(client, ALICE, passwords[ALICE])
        edited = client.patch(song, json={"title": "New"}, headers=alice | {"Prefer": "wait=30"})
        go_on.set()
        assert edited.json()["mirror"]["state"] == "delivered"
        assert [each.result().status_code for each in attack] == [200] * 4


@pytest.mark.parametrize("door", ["/auth/app-password", "/auth/login"])
def test_sign_ins_at_a_silent_host_take_its_turns_and_leave_connections_for_others(
    internet: FakeInternet,
    pools: list[SmallPool],
    go_on: threading.Event,
    container: Container,
    door: str,
) -> None:
    password = internet.settle(ALICE, "a.example.com", internet.pdses[0])
    asked = {"identifier": NAMES[0], "password": "x"}

    def sign_in_there() -> httpx.Response:
        if door == "/auth/login":
            return client.get(door, params={"handle": NAMES[0]}, follow_redirects=False)
        return client.post(door, json=asked)

    with TestClient(asgi(container), base_url="http://127.0.0.1:8000") as client, ThreadPoolExecutor() as run:
        attack = [run.submit(sign_in_there) for _ in range(2 * CONNECTIONS)]
        refused = 2 * CONNECTIONS - (CONNECTIONS - 1)
        until(lambda: sum(each.done() for each in attack) == refused)
        assert pools[1].most == CONNECTIONS - 1
        signed_in(client, ALICE, password)
        go_on.set()
        assert {each.result().status_code for each in attack} <= {401, 503}


@pytest.mark.parametrize("door", ["/auth/app-password", "/auth/login"])
def test_an_address_has_few_sign_ins_under_way_and_leaves_others_theirs(  # noqa: PLR0917
    internet: FakeInternet,
    pools: list[SmallPool],
    go_on: threading.Event,
    container: Container,
    monkeypatch: pytest.MonkeyPatch,
    door: str,
) -> None:
    monkeypatch.setattr(concurrency, "MAX_SIGN_INS_OF_AN_ADDRESS", 1)
    monkeypatch.setattr(concurrency, "MAX_SIGN_INS", 2)
    password = internet.settle(ALICE, "a.example.com", internet.pdses[0])
    app = asgi(container)

    def sign_in_there(name: str, address: str) -> httpx.Response:
        browser = TestClient(app, base_url="http://127.0.0.1:8000", client=(address, 1))
        if door == "/auth/login":
            return browser.get(door, params={"handle": name}, follow_redirects=False)
        return browser.post(door, json={"identifier": name, "password": "x"})

    with TestClient(app, base_url="http://127.0.0.1:8000") as client, ThreadPoolExecutor() as run:
        attack = [run.submit(sign_in_there, NAMES[0], "2001:db8:0:1::1")]
        until(lambda: pools[1].taken == 1)
        again = sign_in_there(NAMES[1], "2001:db8:0:2::1")  # it has a /48
        assert (again.status_code, again.headers["retry-after"]) == (429, "5")
        signed_in(client, ALICE, password)
        attack.append(run.submit(sign_in_there, NAMES[1], "198.51.100.2"))
        until(lambda: pools[1].taken == 2)
        assert sign_in_there(NAMES[2], "198.51.100.3").status_code == 429
        go_on.set()
        assert {each.result().status_code for each in attack} <= {401, 503}
        signed_in(client, ALICE, password)


def test_checks_at_a_silent_pds_take_the_turns_of_their_account(
    internet: FakeInternet,
    pools: list[SmallPool],
    silent: list[str],
    go_on: threading.Event,
    container: Container,
) -> None:
    shared, own = internet.pdses
    passwords = {
        did: internet.settle(did, f"{did[-1]}.example.com", pds)
        for did, pds in ((ALICE, shared), (GREEDY, own))
    }
    with TestClient(asgi(container), base_url="http://127.0.0.1:8000") as client, ThreadPoolExecutor() as run:
        alice, greedy = (signed_in(client, did, password) for did, password in passwords.items())
        song, other = uploaded(client, alice, 1), uploaded(client, greedy, 2)
        for path, headers in ((song, alice), (other, greedy)):
            client.patch(path, json={"title": "New"}, headers=headers | {"Prefer": "wait=30"})
        silent.append("own")
        restore = partial(client.post, f"{other}/restore-record", headers=greedy | {"Prefer": "wait=0"})
        attack = [run.submit(restore) for _ in range(2 * CONNECTIONS)]
        until(lambda: pools[2].taken == MAX_CHECKS_OF_AN_ACCOUNT)
        found = client.post(f"{song}/restore-record", headers=alice | {"Prefer": "wait=0"})
        assert pools[2].taken == MAX_CHECKS_OF_AN_ACCOUNT
        go_on.set()
        assert found.json()["detail"]["error"] == "already_has_record"
        assert {each.result().status_code for each in attack} <= {202, 400}
