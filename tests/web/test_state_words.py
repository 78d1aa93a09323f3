"""A lane has words for its artist."""

from web.state_words import AT_WORK, WORKS, lane_words


def test_records_that_wait_in_a_ready_lane_are_on_their_way():
    assert lane_words({"reason": None, "waiting": {"pending": 1}}) is AT_WORK


def test_records_that_wait_for_a_decision_are_not_on_their_way():
    assert lane_words({"reason": None, "waiting": {"held": 1, "detached": 1, "rejected": 1}}) is WORKS
