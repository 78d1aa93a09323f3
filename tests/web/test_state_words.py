"""Every state that the API names has a mark and plain words."""

import pytest

from api.responses.states import LaneState, MirrorReason, MirrorState
from web.state_words import AT_WORK, BY_REASON, WORKS, Mark, lane_words, shown, states_of, what_saving_does

REASONS = [
    *MirrorReason,
    *(state for state in LaneState if state is not LaneState.READY),
    "InvalidRecord",
    None,
]


@pytest.mark.parametrize("state", MirrorState)
@pytest.mark.parametrize("reason", REASONS)
def test_a_mirror_has_a_mark_and_a_sentence(state, reason):
    found = shown({"state": state, "reason": reason})
    assert found.label
    assert found.reason.endswith(".")
    assert "{" not in found.reason
    assert "/tracks/" not in found.reason


@pytest.mark.parametrize("parked_for", [None, *LaneState, "paused", "restored"])
def test_every_state_is_found_under_exactly_one_mark(parked_for):
    found = [state for mark in Mark for state in states_of(mark, parked_for)]
    assert sorted(found) == sorted(MirrorState)


@pytest.mark.parametrize("reason", BY_REASON)
def test_the_form_names_what_a_waiting_lane_waits_for(reason):
    on_pds = {"state": MirrorState.DELIVERED, "reason": None}
    assert what_saving_does(on_pds, None) == "Goes to your PDS at once."
    assert BY_REASON[reason].headline in what_saving_does(on_pds, reason)


def test_records_that_wait_in_a_ready_lane_are_on_their_way():
    assert lane_words({"reason": None, "waiting": {"pending": 1}}) is AT_WORK


def test_records_that_wait_for_a_decision_are_not_on_their_way():
    assert lane_words({"reason": None, "waiting": {"held": 1, "detached": 1, "rejected": 1}}) is WORKS
