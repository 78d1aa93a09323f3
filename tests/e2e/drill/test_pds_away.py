"""A PDS is down for ten minutes of the service's clock, which pass in steps of half a minute with edits in between."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.drill.drill import operator
from tests.e2e.eventually import eventually
from tests.faults.fake_clock import FakeClock

pytestmark = [*DRILL, pytest.mark.faketime]

OUTAGE = timedelta(minutes=10)
STEP = timedelta(seconds=30)
JOBS = ("apscheduler.scheduler",)
"""It notices the steps: two runs of a job are due at once."""


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """The service's, and that of what an operator runs beside it."""
    return FakeClock(tmp_path / "clock")


@pytest.fixture
def service(clock: FakeClock, tmp_path: Path, pds: DevPds) -> Iterator[Service]:
    """It goes by that clock."""
    made = Service(tmp_path / "service", pds, env=clock.environment)
    yield made
    made.stop()


def test_a_pds_that_is_away_for_ten_minutes_gets_every_edit(
    service: Service, clock: FakeClock, begin: Begin, pds: DevPds
) -> None:
    drill = begin(service)

    pds.stop()
    for step in range(1, OUTAGE // STEP + 1):
        clock.set_ahead(step * STEP)
        drill.edits_are_acknowledged(more=1)  # and with each commit the relay looks what is due
    drill.looks(says=("not_delivered", "breaker_open"), at_times=JOBS, counted=True)
    pds.start()
    assert (
        operator(service, "resume", pds.url).returncode == 0
    )  # else it waits for the clock, which stands still
    drill.stops()
    eventually(lambda: all(writer.is_delivered for writer in drill.writers), seconds=60)
    clock.set_ahead(timedelta())  # the PDS's time again

    drill.ends("pds_away", "A PDS does not answer")
