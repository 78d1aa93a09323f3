"""The clock of the machine is set forward, and back."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.faults.fake_clock import FakeClock

pytestmark = [*DRILL, pytest.mark.faketime]


IN_FLIGHT = ("lease_lost", "MastertapeFencedCommit")
"""Of a delivery that was under way when the clock was set: it is made again."""


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """Of the service and its SQLite, and of what an operator runs beside them."""
    return FakeClock(tmp_path / "clock")


@pytest.fixture
def service(clock: FakeClock, tmp_path: Path, pds: DevPds) -> Iterator[Service]:
    """It goes by that clock; the PDS by a right one."""
    made = Service(tmp_path / "service", pds, env=clock.environment)
    yield made
    made.stop()


def test_a_clock_that_is_set_loses_no_edit(service: Service, clock: FakeClock, begin: Begin) -> None:
    drill = begin(service)

    clock.set_ahead(timedelta(hours=2))
    drill.edits_are_acknowledged()
    drill.looks("two hours ahead", at_times=IN_FLIGHT)
    clock.set_ahead(timedelta(hours=-1))
    drill.edits_are_acknowledged()
    drill.looks("set back, an hour behind", at_times=IN_FLIGHT)
    clock.set_ahead(timedelta())

    drill.edits_are_acknowledged()
    drill.ends("clock_set", "A clock is wrong, or was set")
