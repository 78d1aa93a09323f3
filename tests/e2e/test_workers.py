"""`serve --workers`: a worker delivers what its own caller waits for, the relay beside it the rest, and open streams end with them."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.routers.records.audit import STREAM_SECONDS
from demo.service import Service
from devpds.server import DevPds
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.conftest import environment
from tests.servers.databases import KINDS

pytestmark = pytest.mark.pds


# SQLite, where one process writes, has no workers; on Citus a poll delivers what they commit
@pytest.fixture(scope="module", params=[KINDS[1]])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pds: DevPds
) -> Iterator[Service]:
    """On a database of its own: the relay of a service that stands beside it would deliver too."""
    data = tmp_path_factory.mktemp("workers")
    with environment(request, data, pds) as settings:
        started = Service(data, pds, options=["--workers=2"], env=settings)
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
    assert artist.asks(MIGRATE).status_code == 200, "the record follows the upload of its audio at once"


def relay_of(service: Service) -> int:
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    [relay] = [int(pid) for pid in children if b"\0relay\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return relay


def test_an_open_stream_does_not_hold_up_the_end_of_its_process(artist: Artist, service: Service) -> None:
    with artist.client.http.stream("GET", "/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        os.kill(service.pid, signal.SIGTERM)
        ended = threading.Thread(target=lambda: list(lines), daemon=True)
        ended.start()
        ended.join(STREAM_SECONDS - 5)
        assert not ended.is_alive()
    service.stop()
