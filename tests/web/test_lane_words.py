"""Every reason for which a lane delivers nothing has words."""

import pytest

from api.routers.ops.deliveries import LANE_STATES
from web.lane_words import AT_WORK, BY_REASON, WORKS, lane_words


@pytest.mark.parametrize("state", LANE_STATES)
def test_a_lane_has_words_for_its_state(state):
    reason = None if state == "ready" else state
    assert lane_words({"reason": reason, "waiting": {}}) is (BY_REASON[state] if reason else WORKS)


def test_records_that_wait_in_a_ready_lane_are_on_their_way():
    assert lane_words({"reason": None, "waiting": {"pending": 1}}) is AT_WORK


def test_records_that_wait_for_a_decision_are_not_on_their_way():
    assert lane_words({"reason": None, "waiting": {"held": 1, "detached": 1, "rejected": 1}}) is WORKS
