"""A PDS is down for ten minutes of the service's clock, which pass in steps of half a minute with edits in between."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.drill.drill import JOBS, operator
from tests.faults.fake_clock import FakeClock
from tests.waits import until

pytestmark = [*DRILL, pytest.mark.faketime]

OUTAGE = timedelta(minutes=10)
STEP = timedelta(seconds=30)
BY_A_SCAN = "drift"
"""The check of doctor that fails if a scan, which is due every five minutes, has met the outage."""
BY_SPEED = ("failures", "lease_lost", "MastertapeFencedCommit")
"""What depends on how many attempts the machine makes between two steps of the clock, and on whether one outlives its lease."""


@pytest.fixture
def settings(clock: FakeClock) -> Mapping[str, str]:
    return clock.environment


def test_a_pds_that_is_away_for_ten_minutes_gets_every_edit(
    service: Service, clock: FakeClock, begin: Begin, pds: DevPds
) -> None:
    drill = begin(service)

    pds.stop()
    for step in range(1, OUTAGE // STEP + 1):
        clock.set_ahead(step * STEP)
        drill.edits_are_acknowledged(more=1)  # and with each commit the relay looks what is due
    drill.looks(says=("not_delivered", "breaker_open"), at_times=(*JOBS, BY_A_SCAN, *BY_SPEED))
    pds.start()
    # else the relay waits for the end of a pause, which comes at the speed of a right clock
    assert operator(service, "resume", pds.url).returncode == 0
    drill.stops()
    until(lambda: all(writer.is_delivered for writer in drill.writers), within=60)
    clock.set_ahead(timedelta())  # the PDS's time again

    drill.ends("pds_away", "A PDS does not answer")
