"""`serve --workers`: a worker delivers what its own caller waits for, and the relay beside it the rest."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.service import Service
from devpds.server import DevPds, DevPlc
from tests.e2e.artist import Artist
from tests.servers.atproto import new_account
from tests.servers.databases import AND_CITUS, KINDS

MAY_HAVE_WORKERS = pytest.mark.parametrize("settings", [KINDS[1], *AND_CITUS], indirect=True, scope="session")
"""SQLite, where one process writes, has none; ON_POSTGRES adds it in a deep run."""
pytestmark = [pytest.mark.pds, MAY_HAVE_WORKERS]


@pytest.fixture
def service(settings: dict[str, str], pds: DevPds) -> Iterator[Service]:
    started = Service(Path(settings["MASTERTAPE_DATA"]), pds, options=["--workers=2"], env=settings)
    started.start()
    yield started
    started.stop()


def test_an_edit_whose_caller_waits_is_delivered_though_the_relay_stands_still(
    service: Service, pds: DevPds, plc: DevPlc
) -> None:
    artist = Artist(service, pds, new_account(pds, plc))
    artist.uploads()
    artist.agreed()
    relay = relay_of(service)

    os.kill(relay, signal.SIGSTOP)
    try:
        answer = artist.client.http.patch(
            f"/tracks/{artist.track_id}", json={"title": "waited for"}, headers={"prefer": "wait=20"}
        )
    finally:
        os.kill(relay, signal.SIGCONT)

    assert answer.json()["mirror"]["state"] == "delivered"
    artist.edits(title="not waited for")
    artist.agreed()
    artist.client.http.close()


def relay_of(service: Service) -> int:
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    [relay] = [int(pid) for pid in children if b"\0relay\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return relay
