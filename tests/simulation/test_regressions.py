"""Schedules that long runs have found, shrunk: each failed once, for the reason beside it."""

import pytest

from tests.simulation.schedule import Schedule, Step

FAILED_ONCE = {
    # a 500, and then the record was gone: the account was searched for an hour later although its host had answered
    "in doubt": Schedule(857, 0.5, (
        Step(act="upload", seed=4146487666, pause=0.005),
        Step(act="wait", seed=885622684, pause=1.0),
        Step(act="redrive", seed=2962118325, pause=0.015),
        Step(act="foreign", seed=3932403978, pause=0.1),
        Step(act="edit", seed=3245495716, pause=3.0),
        Step(act="jump", seed=1858270500, pause=1.0),
    ), 0.0, (2, 1, 1)),
    # second copies of a create and of its edit came after the delete, one on top of the other: the relay deleted again
    "late edit of a late create": Schedule(8137, 0.5, (
        Step(act="upload", seed=2913612014, pause=1.0),
        Step(act="undelete", seed=2507558662, pause=0.015),
        Step(act="edit", seed=3171684977, pause=0.03),
        Step(act="sign out", seed=2609295080, pause=0.005),
        Step(act="delete", seed=251574649, pause=0.015),
    ), 0.02, (2, 2, 4)),
    # nothing could be sent, and then there was nothing to send: the account was searched for an hour later all the same
    "in doubt after a cancel": Schedule(9099, 0.5, (
        Step(act="upload", seed=2347729723, pause=0.0),
        Step(act="host", seed=4194965709, pause=3.0),
        Step(act="delete", seed=2379577147, pause=0.03),
        Step(act="wait", seed=3338978721, pause=1.0),
        Step(act="jump", seed=4228763478, pause=0.1),
    ), 0.02, (3, 2, 2)),
    # a PDS hung on the request for its blob limit; the upload went on although another relay had met a 429 meanwhile
    "upload after a limit": Schedule(416, 0.5, (
        Step(act="upload", seed=3910553922, pause=0.0),
        Step(act="doubt", seed=3517078309, pause=3.0),
        Step(act="artwork", seed=1272878952, pause=0.03),
        Step(act="foreign", seed=304761058, pause=0.1),
        Step(act="pause", seed=3437866032, pause=0.015),
        Step(act="doubt", seed=2633607525, pause=0.0),
        Step(act="doubt", seed=1399301086, pause=0.03),
        Step(act="migrate", seed=3824957945, pause=0.005),
        Step(act="edit", seed=2992257441, pause=1.0),
    ), 0.0, (2, 2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("story", FAILED_ONCE.values(), ids=FAILED_ONCE)
def test_a_schedule_that_failed_once_passes(story: Schedule):
    story.run()
