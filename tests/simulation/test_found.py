"""Stories that long runs have found, made small: each failed once, for the reason beside it."""

import pytest

from tests.simulation.schedule import Schedule, Step

IN_DOUBT_AFTER_A_DELETE_ELSEWHERE = Schedule(857, 0.5, (
    Step(act="upload", seed=4146487666, pause=0.005),
    Step(act="wait", seed=885622684, pause=1.0),
    Step(act="redrive", seed=2962118325, pause=0.015),
    Step(act="foreign", seed=3932403978, pause=0.1),
    Step(act="edit", seed=3245495716, pause=3.0),
    Step(act="jump", seed=1858270500, pause=1.0),
), 0.0, (2, 1, 1))  # fmt: skip
"""A 500, and then word that the record is gone: the account was looked for an hour later although its host had spoken."""


@pytest.mark.parametrize("story", [IN_DOUBT_AFTER_A_DELETE_ELSEWHERE], ids=["in doubt"])
def test_what_a_long_run_found_is_mended(story: Schedule):
    story.run()
