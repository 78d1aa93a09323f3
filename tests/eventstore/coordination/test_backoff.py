"""Pauses grow, within bounds, and differ."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from eventstore.coordination.backoff import CAP_SECONDS, FIRST_SECONDS, backoff


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_every_pause_lies_between_half_the_first_and_the_cap(failures: int, chance: float) -> None:
    pause = backoff(failures, random_between=chance)
    assert timedelta(seconds=FIRST_SECONDS / 2) <= pause <= timedelta(seconds=CAP_SECONDS)


@given(st.integers(0, 100), st.floats(0, 1))
def test_no_pause_is_shorter_than_the_one_before_could_be_at_least(failures: int, chance: float) -> None:
    assert backoff(failures + 1, random_between=chance) >= backoff(failures, random_between=chance)


def test_a_crowd_does_not_come_back_at_once() -> None:
    assert len({backoff(5) for _ in range(100)}) > 50
