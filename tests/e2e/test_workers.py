"""`serve --workers`: a worker delivers what its own caller waits for, and the relay beside it the rest."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.artist import Artist
from tests.e2e.conftest import environment
from tests.servers.databases import AND_CITUS, KINDS

pytestmark = pytest.mark.pds


@pytest.fixture(params=[KINDS[1], *AND_CITUS])  # SQLite, where one process writes, has no workers
def service(request: pytest.FixtureRequest, tmp_path: Path, pds: DevPds) -> Iterator[Service]:
    """On a database of its own: the relay of a service that stands beside it would deliver too."""
    with environment(request, tmp_path, pds) as settings:
        started = Service(tmp_path, pds, options=["--workers=2"], env=settings)
        started.start()
        yield started
        started.stop()


def test_an_edit_whose_caller_waits_is_delivered_though_the_relay_stands_still(
    service: Service, artist: Artist
) -> None:
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


def relay_of(service: Service) -> int:
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    [relay] = [int(pid) for pid in children if b"\0relay\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return relay
