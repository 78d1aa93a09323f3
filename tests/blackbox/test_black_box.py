"""Under kill -9 and a failing PDS, all that was answered is what one register for each track could have answered.

Two processes serve one PostgreSQL; on SQLite it is one. TEST_DEEP: on both, for minutes.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devpds.server import DevPds, DevPlc
from tests.blackbox.checker import faults
from tests.blackbox.run import Run, failing
from tests.e2e.artist import Artist
from tests.e2e.conftest import environment
from tests.faults.proxy import FaultProxy
from tests.servers.atproto import new_account
from tests.servers.databases import KINDS
from tests.servers.preloaded import Service

pytestmark = pytest.mark.pds
DEEP = bool(os.environ.get("TEST_DEEP"))
ACKNOWLEDGED_WRITES = 2_000 if DEEP else 30
TRACKS, CLIENTS = 3, 4
CONVERGES_WITHIN = 90.0


@pytest.fixture(params=KINDS if DEEP else KINDS[1:])
def settings(
    request: pytest.FixtureRequest, pds: DevPds, proxied_pds: DevPds, tmp_path: Path
) -> Iterator[dict[str, str]]:
    with environment(request, tmp_path / "service", pds, proxied_pds) as found:
        yield found


@pytest.fixture
def services(settings: dict[str, str], proxied_pds: DevPds) -> Iterator[list[Service]]:
    data = Path(settings["MASTERTAPE_DATA"])
    with ExitStack() as stack:
        made: list[Service] = []
        for _ in range(2 if "MASTERTAPE_DATABASE_URL" in settings else 1):
            base = {"MASTERTAPE_BASE_URL": made[0].url} if made else {}
            made.append(Service(data, proxied_pds, env={**settings, **base}))
            made[-1].start()
            stack.callback(made[-1].stop)
        yield made


@pytest.mark.timeout(600)
def test_answers_under_kills_and_faults_are_those_of_one_register_for_each_track(
    services: list[Service], proxied_pds: DevPds, plc: DevPlc, proxy: FaultProxy
) -> None:
    artist = Artist(services[0], proxied_pds, new_account(proxied_pds, plc))
    run = Run(artist, services, [artist.uploads(title=f"first {number}") for number in range(TRACKS)], seed=1)
    with failing(proxy, seed=1):
        run.goes_on(ACKNOWLEDGED_WRITES, clients=CLIENTS)
    run.ends(CONVERGES_WITHIN)
    artist.client.http.close()
    assert run.kills > 0
    assert faults(run.recording) == []
