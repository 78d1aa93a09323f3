"""Names that accounts type, at hosts that never answer, take connections that no delivery and no sign-in needs."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from identity.resolution import featured_artists
from service.cli.serve import asgi
from service.config.settings import Settings
from service.wiring.bootstrap import build
from tests.e2e.eventually import eventually
from tests.fake_pds.internet import FakeInternet
from tests.media_samples import samples

CONNECTIONS = 3
PDS = "https://pds.example.com"
ALICE, GREEDY = "did:plc:" + "a" * 24, "did:plc:" + "g" * 24
NAMES = [f"did:web:silent{number}.com" for number in range(10)]


class SmallPool(httpx.AsyncBaseTransport):
    """Has few connections; the hosts that are called silent never answer before `go_on`."""

    def __init__(self, internet: FakeInternet, go_on: threading.Event) -> None:
        self.internet = internet
        self.go_on = go_on
        self.taken = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.taken == CONNECTIONS:
            raise httpx.PoolTimeout("all connections are taken")
        self.taken += 1
        try:
            if request.url.host.startswith("silent"):
                await asyncio.to_thread(self.go_on.wait)
            return await self.internet.handle_async_request(request)
        finally:
            self.taken -= 1


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def internet() -> FakeInternet:
    return FakeInternet(PDS)


@pytest.fixture
def pools(internet: FakeInternet, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch) -> list[SmallPool]:
    made: list[SmallPool] = []

    def client(*_: object) -> httpx.AsyncClient:
        made.append(SmallPool(internet, go_on))
        return httpx.AsyncClient(transport=made[-1])

    monkeypatch.setattr("service.wiring.bootstrap.pds_http_client", client)
    monkeypatch.setattr(featured_artists, "TIMEOUT_SECONDS", 60.0)
    return made


def signed_in(client: TestClient, did: str, password: str) -> dict[str, str]:
    answer = client.post("/auth/app-password", json={"identifier": did, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def uploaded(client: TestClient, headers: dict[str, str], seed: int) -> str:
    file = ("song.mp3", samples.mp3(seed), "audio/mpeg")
    answer = client.post("/tracks", data={"title": "Song"}, files={"file": file}, headers=headers)
    return f"/tracks/{answer.json()['id']}"


def test_names_at_silent_hosts_delay_no_sign_in_and_no_delivery(
    internet: FakeInternet, pools: list[SmallPool], go_on: threading.Event, tmp_path: Path, migrated_url: str
) -> None:
    [pds] = internet.pdses
    passwords = {did: internet.settle(did, f"{did[-1]}.example.com", pds) for did in (ALICE, GREEDY)}
    container = build(Settings(data=tmp_path / "data", database_url=migrated_url, rate_limits=False))
    with TestClient(asgi(container), base_url="http://127.0.0.1:8000") as client, ThreadPoolExecutor() as run:
        alice, greedy = (signed_in(client, did, password) for did, password in passwords.items())
        song, other = uploaded(client, alice, 1), uploaded(client, greedy, 2)
        attack = [run.submit(client.patch, other, json={"features": NAMES}, headers=greedy) for _ in range(4)]
        eventually(lambda: any(pool.taken == CONNECTIONS for pool in pools))
        signed_in(client, ALICE, passwords[ALICE])
        edited = client.patch(song, json={"title": "New"}, headers=alice | {"Prefer": "wait=30"})
        go_on.set()
        assert edited.json()["mirror"]["state"] == "delivered"
        assert [each.result().status_code for each in attack] == [200] * 4
