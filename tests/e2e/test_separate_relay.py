"""`serve` without a relay and `mastertape relay` beside it: two processes on one database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.service import Service
from demo.story import delete, lose_and_restore, migrate, rename, undelete, upload
from devpds.server import DevPds, DevPlc
from tests.e2e.artist import Artist
from tests.e2e.conftest import DEEP, environment
from tests.e2e.eventually import eventually
from tests.servers.atproto import new_account
from tests.servers.databases import KINDS
from tests.service.command_line import Daemon, daemon

pytestmark = pytest.mark.pds


@pytest.fixture(params=KINDS if DEEP else KINDS[1:])
def settings(request: pytest.FixtureRequest, pds: DevPds, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of both processes; SQLite, for which several are unusual, only with TEST_DEEP."""
    with environment(request, tmp_path / "service", pds) as found:
        yield found


@pytest.fixture
def alone(settings: dict[str, str], pds: DevPds) -> Iterator[Service]:
    """A service without a relay."""
    service = Service(Path(settings["MASTERTAPE_DATA"]), pds, env={**settings, "MASTERTAPE_RELAY": "off"})
    service.start()
    yield service
    service.stop()


@pytest.fixture
def relay(alone: Service, settings: dict[str, str], pds: DevPds, tmp_path: Path) -> Iterator[Daemon]:
    """The relay."""
    names = {name.removeprefix("MASTERTAPE_"): value for name, value in settings.items()}
    with daemon(
        tmp_path / "log", "relay", **{**names, "PLC_URL": pds.plc_url, "BASE_URL": alone.url}
    ) as process:
        process.wait_for("the relay is running")
        yield process


def test_a_relay_of_its_own_delivers_what_a_service_without_one_commits(
    alone: Service, pds: DevPds, plc: DevPlc, request: pytest.FixtureRequest
) -> None:
    artist = Artist(alone, pds, new_account(pds, plc))
    artist.uploads()
    assert artist.mirror["state"] == "pending"
    assert artist.record is None

    request.getfixturevalue("relay")
    artist.agreed()
    step = artist.plays(upload, rename, lose_and_restore, migrate, delete, undelete)

    assert step.record["title"] == "Second Thoughts"
    eventually(lambda: artist.client.http.get("/readyz").is_success)
    artist.client.http.close()
