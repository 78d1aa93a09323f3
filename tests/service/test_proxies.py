"""The examples of reverse proxies in deploy/, run by the servers that they are for, before the service."""

import asyncio
import select
import ssl
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from io import BytesIO
from itertools import count
from pathlib import Path
from secrets import token_bytes
from urllib.parse import urlsplit

import httpx
import pytest

from identity.accounts.credentials import CredentialKind
from service.config.settings import Settings
from service.wiring.bootstrap import build
from tests.dsl import ALICE
from tests.servers.databases import clone_sqlite
from tests.servers.reverse_proxies import caddy, nginx
from tests.service.command_line import Daemon, daemon

SAMPLES = 2_500_000
CHUNK_BYTES, MAX_CHUNKS = 64 * 1024, 500
LIMIT, MANY = 100, 30
"""Requests of a client in a minute, and as many at once as no pause between them gives back."""
ADDRESSES = (f"127.0.0.{number}" for number in count(2))
"""Each client's own: what one has used of its limit comes back only in a while."""
EVENT_SECONDS = 15
"""Less than the 25 seconds after which a stream ends by itself, and with it what a proxy has buffered."""


@pytest.fixture(scope="module")
def service(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, str]]:
    folder = tmp_path_factory.mktemp("proxied")
    clone_sqlite(sqlite_template, folder / "tape.db")
    settings = {"DATA": folder, "DATABASE_URL": f"sqlite:///{folder / 'tape.db'}"}
    made = build(Settings(data=folder, database_url=settings["DATABASE_URL"]))
    with made.database.write() as connection:
        made.services.accounts.upsert(
            connection, did=ALICE, handle="a.test", pds_url="https://pds.example.com", display_name="A"
        )
        issued = made.services.credentials.issue(connection, did=ALICE, kind=CredentialKind.API, name="t")
    asyncio.run(made.close())
    with daemon(folder / "log", "serve", **settings, RELAY="off") as process:
        process.wait_for("mastertape answers on")
        yield process, str(getattr(issued, "token", issued).get_secret_value())


@pytest.fixture(scope="module")
def token(service: tuple[Daemon, str]) -> str:
    return service[1]


@pytest.fixture(
    scope="module",
    params=[pytest.param(nginx, marks=pytest.mark.nginx), pytest.param(caddy, marks=pytest.mark.caddy)],
)
def url(
    request: pytest.FixtureRequest,
    service: tuple[Daemon, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    with request.param(service[0].port, tmp_path_factory.mktemp("proxy")) as proxied:
        yield proxied


def client(url: str, token: str | None = None, *, address: str = "127.0.0.1") -> httpx.Client:
    return httpx.Client(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        transport=httpx.HTTPTransport(verify=False, local_address=address),
        timeout=60,
    )


def test_a_proxy_passes_uploads_ranges_and_events_as_they_come(url: str, token: str) -> None:
    with client(url, token) as http:
        uploaded = http.post("/tracks", data={"title": "Long"}, files={"file": ("a.wav", ten_megabytes())})
        assert uploaded.status_code == 201, uploaded.text
        track = uploaded.json()
        path = "/audio/" + track["audio_url"].rsplit("/", 1)[1]
        part = http.get(path, headers={"Range": "bytes=8-11"})
        assert (part.status_code, part.content) == (206, b"WAVE")
        with (
            client(url, token) as other,
            http.stream("GET", "/events", timeout=EVENT_SECONDS) as stream,
        ):
            lines = stream.iter_lines()
            assert next(lines) == "retry: 1000"
            assert other.patch(f"/tracks/{track['id']}", json={"title": "Longer"}).is_success
            assert any('"Longer"' in line for line in lines)


def test_a_body_that_is_too_large_is_refused_before_it_comes(url: str, token: str) -> None:
    parts = urlsplit(url)
    address = (str(parts.hostname), parts.port)
    connection = (
        HTTPSConnection(*address, context=ssl._create_unverified_context(), timeout=60)  # noqa: S323, SLF001
        if parts.scheme == "https"
        else HTTPConnection(*address, timeout=60)
    )
    with closing(connection):
        connection.putrequest("POST", "/tracks")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Content-Length", str(2 * 2**30))
        connection.endheaders(b"--b\r\n")
        for _ in range(MAX_CHUNKS):  # Caddy passes on an early answer only to a client that goes on
            if select.select([connection.sock], [], [], 0.05)[0]:
                break
            connection.send(bytes(CHUNK_BYTES))
        assert connection.getresponse().status == 413


def test_the_service_limits_each_client_by_its_own_address(url: str) -> None:
    with client(url, address=next(ADDRESSES)) as http, ThreadPoolExecutor(MANY) as threads:
        left = list(threads.map(partial(remaining, http), (f"8.8.8.{number}" for number in range(MANY))))
    assert min(left) < LIMIT - 2, "each was taken for another client"
    with client(url, address=next(ADDRESSES)) as http:
        assert remaining(http) == LIMIT - 1


def remaining(http: httpx.Client, forged: str | None = None) -> int:
    """How many requests the service still allows, after one that claims to be passed on for another address."""
    answer = http.get("/tracks", headers={"X-Forwarded-For": forged} if forged else {})
    return int(answer.headers["RateLimit-Remaining"])


def ten_megabytes() -> bytes:
    with wave.open(file := BytesIO(), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(token_bytes(4) + bytes(4 * SAMPLES - 4))
    return file.getvalue()
