"""Two services are started on one SQLite file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devpds.server import DevPds
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.servers.preloaded import Service

pytestmark = DRILL


@pytest.fixture
def services(tmp_path: Path, pds: DevPds) -> Iterator[list[Service]]:
    """Each with a port and a log of its own, and the same address in the records that it writes."""
    shared = {"MASTERTAPE_DATA": str(tmp_path / "data")}
    one = Service(tmp_path / "one", pds, env=shared)
    other = Service(tmp_path / "other", pds, env=shared | {"MASTERTAPE_BASE_URL": one.url})
    yield [one, other]
    for each in (one, other):
        each.stop()


def test_two_services_on_one_sqlite_file_lose_no_edit(services: list[Service], begin: Begin) -> None:
    drill = begin(*services)
    _, other = services

    drill.edits_are_acknowledged()
    drill.looks("both under load")
    other.kill()
    drill.looks("one of them killed")
    other.start()

    drill.edits_are_acknowledged()
    drill.ends("two_services", "Two services run on one SQLite file")
