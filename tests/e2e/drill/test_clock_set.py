"""The clock of the machine is set forward, and back."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from demo.service import Service
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.drill.drill import JOBS
from tests.faults.fake_clock import FakeClock

pytestmark = [*DRILL, pytest.mark.faketime]


IN_FLIGHT = ("lease_lost", "MastertapeFencedCommit")
"""Of a delivery that was under way when the clock was set: it is made again."""


@pytest.fixture
def settings(clock: FakeClock) -> Mapping[str, str]:
    return clock.environment


def test_a_clock_that_is_set_loses_no_edit(service: Service, clock: FakeClock, begin: Begin) -> None:
    drill = begin(service)

    clock.set_ahead(timedelta(hours=2))
    drill.edits_are_acknowledged()
    drill.looks("two hours ahead", at_times=(*JOBS, *IN_FLIGHT))
    clock.set_ahead(timedelta(hours=-1))
    drill.edits_are_acknowledged()
    drill.looks("set back, an hour behind", at_times=(*JOBS, *IN_FLIGHT))
    clock.set_ahead(timedelta())

    drill.edits_are_acknowledged()
    drill.ends("clock_set", "A clock is wrong, or was set")
