"""The examples of reverse proxies in deploy/, run by the servers that they are for, before the service."""

import select
import ssl
import wave
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from identity.accounts.credentials import CredentialKind
from service.wiring.bootstrap import Container
from tests.dsl import ALICE
from tests.servers.reverse_proxies import caddy, nginx
from tests.service.command_line import daemon

SAMPLES = 2_500_000
CHUNK_BYTES, MAX_CHUNKS = 64 * 1024, 500
EVENT_SECONDS = 15
"""Less than the 25 seconds after which a stream ends by itself, and with it what a proxy has buffered."""


@pytest.fixture
def migrated_url(migrated_sqlite: str) -> str:
    """One database is enough for tests of a proxy."""
    return migrated_sqlite


@pytest.fixture
def token(container: Container) -> str:
    with container.database.write() as connection:
        container.services.accounts.upsert(
            connection, did=ALICE, handle="a.test", pds_url="https://pds.example.com", display_name="A"
        )
        issued = container.services.credentials.issue(
            connection, did=ALICE, kind=CredentialKind.API, name="t"
        )
    return str(getattr(issued, "token", issued).get_secret_value())


@pytest.fixture(
    params=[pytest.param(nginx, marks=pytest.mark.nginx), pytest.param(caddy, marks=pytest.mark.caddy)]
)
def url(request: pytest.FixtureRequest, container: Container, tmp_path: Path) -> Iterator[str]:
    """Where clients find the service."""
    settings = container.settings
    with daemon(
        tmp_path / "log", "serve", DATA=settings.data, DATABASE_URL=settings.database_url, RELAY="off"
    ) as service:
        service.wait_for("mastertape answers on")
        (folder := tmp_path / "proxy").mkdir()
        with request.param(service.port, folder) as proxied:
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
    left = []
    for address, forged in (("127.0.0.2", ""), ("127.0.0.2", "8.8.8.8"), ("127.0.0.3", "")):
        with client(url, address=address) as http:
            answer = http.get("/tracks", headers={"X-Forwarded-For": forged} if forged else {})
            left.append(int(answer.headers["RateLimit-Remaining"]))
    assert left == [99, 98, 99]


def ten_megabytes() -> bytes:
    with wave.open(file := BytesIO(), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(bytes(4 * SAMPLES))
    return file.getvalue()
