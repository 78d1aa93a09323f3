"""The actions of a schedule as a Hypothesis state machine, which shrinks what it finds.

Schedules drawn by seed find a fault in a third of the runs (measured with the protections switched off), so most runs
are those. A failure here prints a line that replays it without Hypothesis.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.simulation.actions import ACTS
from tests.simulation.schedule import CHANCES, PAUSES, SHAPES, SLOW, Schedule, Shape, Step
from tests.simulation.world import World

DEEP = bool(os.environ.get("TEST_DEEP"))
SEEDS = st.integers(0, 999)
"""Few: an action draws little from its seed, and large numbers shrink slowly."""
STORIES = settings(
    max_examples=2000 if DEEP else 12,
    stateful_step_count=12,
    derandomize=True,
    database=None,
    print_blob=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


class Machine(RuleBasedStateMachine):
    """A world, and its schedule so far."""

    world: World | None = None

    @initialize(
        seed=SEEDS,
        chance=st.sampled_from(CHANCES),
        slow_threads=st.sampled_from(SLOW),
        shape=st.sampled_from(SHAPES),
    )
    def begin(self, seed: int, chance: float, slow_threads: float, shape: Shape) -> None:
        self.schedule = Schedule(seed, chance, (), slow_threads, shape)
        self.world = self.schedule.begin()
        self.take("upload", seed, 0.0)

    def take(self, act: str, seed: int, pause: float) -> None:
        assert self.world is not None
        self.schedule = self.schedule.and_then(Step(act, seed, pause))
        self.schedule.steps[-1].take(self.world)

    def teardown(self) -> None:
        if self.world is None:
            return
        error = sys.exc_info()[1]
        try:
            if error is None:
                Schedule.end(self.world)
        finally:
            note(f"to see it again: {self.schedule}.run()")
            self.world.close()


def _rule_of(act: str) -> Callable[..., Any]:
    def take(self: Machine, seed: int, pause: float) -> None:
        self.take(act, seed, pause)

    take.__name__ = act.replace(" ", "_")
    return rule(seed=SEEDS, pause=st.sampled_from(PAUSES))(take)


ActsMachine = type("ActsMachine", (Machine,), {act.replace(" ", "_"): _rule_of(act) for act in ACTS})


@pytest.mark.timeout(3600 if DEEP else 120)
def test_whatever_happens_in_whatever_order_the_pdses_agree_with_the_log():
    run_state_machine_as_test(ActsMachine, settings=STORIES)
