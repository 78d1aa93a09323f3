"""A service for one case, and the drill around it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from devpds.server import DevPds, DevPlc
from tests.e2e.artist import Artist
from tests.e2e.drill.drill import Drill
from tests.e2e.writer import Writer
from tests.faults.fake_clock import FakeClock
from tests.servers.atproto import new_account
from tests.servers.preloaded import Service

Begin = Callable[..., Drill]
ARTISTS = 2
PAUSE_SECONDS = 0.1
"""Between two edits of an artist: load, and a history that can still be read."""


@pytest.fixture
def settings() -> Mapping[str, str]:
    """Of the service, beside its own: a case has others."""
    return {}


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """Of a service with its environment among the settings, and of what an operator runs beside it; the PDS has a right one."""
    return FakeClock(tmp_path / "clock")


@pytest.fixture
def service(tmp_path: Path, pds: DevPds, settings: Mapping[str, str]) -> Iterator[Service]:
    """Not started yet; on SQLite unless the settings name another database."""
    made = Service(tmp_path / "service", pds, env=settings)
    yield made
    made.stop()


@pytest.fixture
def begin(pds: DevPds, plc: DevPlc, tmp_path: Path) -> Iterator[Begin]:
    """Start the services, have artists at each, and wait until all are at work."""
    made: list[Drill] = []

    def began(*services: Service, **names: str) -> Drill:
        for each in services:
            each.start()
        artists = [
            Artist(services[number % len(services)], pds, new_account(pds, plc)) for number in range(ARTISTS)
        ]
        for artist in artists:
            artist.uploads()
        known = {pds.url: "http://PDS", str(tmp_path): "", **{path: name for name, path in names.items()}}
        drill = Drill([Writer(each, pause_seconds=PAUSE_SECONDS) for each in artists], services, known)
        made.append(drill)
        drill.is_well()
        return drill

    yield began
    for drill in made:
        drill.hangs_up()
