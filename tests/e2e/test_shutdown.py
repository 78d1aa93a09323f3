"""A process that is stopped during an upload finishes one that ends soon, and releases the others at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from devpds.server import DevPds, DevPlc
from tests.e2e.artist import MIGRATE, Artist
from tests.faults.faults import hang, hold_until
from tests.faults.proxy import FaultProxy
from tests.servers.atproto import new_account
from tests.servers.preloaded import Service
from tests.service.command_line import Daemon, daemon
from tests.waits import until

pytestmark = pytest.mark.pds

Works = Callable[[str], Daemon]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ending") / "data"


@pytest.fixture(scope="module")
def artist(data: Path, proxied_pds: DevPds, plc: DevPlc) -> Iterator[Artist]:
    service = Service(data, proxied_pds, env={"MASTERTAPE_RELAY": "off"})
    service.start()
    made = Artist(service, proxied_pds, new_account(proxied_pds, plc))
    yield made
    made.client.http.close()
    service.stop()


@pytest.fixture
def works(data: Path, artist: Artist, proxied_pds: DevPds, tmp_path: Path) -> Iterator[Works]:
    """Start a process that works for the service; a lease of its that is not given back outlasts the test."""
    settings = {
        "DATA": data,
        "PLC_URL": proxied_pds.plc_url,
        "DEV_ORIGINS": proxied_pds.url,
        "LEASE_SECONDS": 600,
    }
    artist.uploads()
    with ExitStack() as stack:
        yield lambda command: stack.enter_context(daemon(tmp_path / command, command, **settings))


def uploads(artist: Artist, proxy: FaultProxy) -> None:
    """The audio is on its way to the PDS."""
    assert artist.asks(MIGRATE, prefer="wait=0").status_code == 202
    proxy.await_passed("uploadBlob", seconds=30)


def is_on_pds(artist: Artist) -> bool:
    return "BlobMigrated" in [row["type"] for row in artist.client.history(artist.track_id)]


def is_closed(process: Daemon) -> bool:
    try:
        process.get("/healthz")
    except httpx.TransportError:
        return True
    return False


def test_an_upload_that_ends_soon_is_finished(artist: Artist, works: Works, proxy: FaultProxy) -> None:
    ends = threading.Event()
    proxy.on("uploadBlob", fault=hold_until(ends), times=1)
    process = works("serve")
    uploads(artist, proxy)

    process.process.send_signal(signal.SIGTERM)
    until(lambda: is_closed(process))
    ends.set()

    assert process.process.wait(30) == 0
    assert "Traceback" not in process.output
    assert is_on_pds(artist)


def test_an_upload_that_does_not_end_is_begun_by_another_at_once(
    artist: Artist, works: Works, proxy: FaultProxy
) -> None:
    proxy.on("uploadBlob", fault=hang, times=1)
    process = works("relay")
    uploads(artist, proxy)

    assert process.end(signal.SIGTERM) == 0
    assert "Traceback" not in process.output
    assert not is_on_pds(artist)

    works("serve")
    until(lambda: is_on_pds(artist))
