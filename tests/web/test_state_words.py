"""What people read of states."""

from aggregates.values import ReleaseState
from api.responses.states import AudioCopyState, DriftKind, JobState, UnsentOutcome, VerdictKind
from identity.accounts.credentials import CredentialKind, Scope
from web.state_words import AT_WORK, ON_PDS, OUTCOMES, WORDS, WORKS, lane_words


def test_records_that_wait_in_a_ready_lane_are_on_their_way():
    assert lane_words({"reason": None, "waiting": {"pending": 1}}) is AT_WORK


def test_records_that_wait_for_a_decision_are_not_on_their_way():
    assert lane_words({"reason": None, "waiting": {"held": 1, "detached": 1, "rejected": 1}}) is WORKS


def test_each_state_has_words():
    ended_or_under_way = set(JobState) - {JobState.IDLE}
    for words, states in {
        "audio": {*AudioCopyState, ON_PDS},
        "drifts": set(DriftKind),
        "adoptions": ended_or_under_way,
        "exports": ended_or_under_way,
        "token_kinds": set(CredentialKind),
        "permissions": set(Scope),
        "releases": set(ReleaseState),
    }.items():
        assert set(getattr(WORDS, words)) == states, words
    assert set(OUTCOMES) == {None, *VerdictKind, *UnsentOutcome}
