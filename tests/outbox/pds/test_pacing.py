"""What a PDS says of its limits is understood, whatever its clock shows, and believed within reason."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.pds.verdict import (
    LONGEST_PAUSE_SECONDS,
    ROUNDED_SECONDS,
    Budget,
    budget_of,
    lane_budget,
    retry_after_of,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR, DAY, MINUTES = 3600, 86400, 300


def headers(
    limit: object, left: object, reset: object, policy: str | None = "5000;w=3600", **more: str
) -> httpx.Headers:
    told = {"RateLimit-Limit": limit, "RateLimit-Remaining": left, "RateLimit-Reset": reset}
    named = {"RateLimit-Policy": policy} if policy is not None else {}
    return httpx.Headers({name: str(value) for name, value in told.items()} | named | more)


def at(**later: float) -> float:
    return (NOW + timedelta(**later)).timestamp()


def wait(budget: Budget | None) -> float:
    """How long until it is full again, without the rounding."""
    assert budget is not None
    return (budget.reset_at(NOW) - NOW).total_seconds() - ROUNDED_SECONDS


@pytest.mark.parametrize(
    ("policy", "window", "is_of_host"),
    [
        ("5000;w=3600", HOUR, False),
        ("3000;w=300", MINUTES, True),
        ('"default";q=100; w=60', 60, True),
        ("5000", None, False),
        ("5000;w=0", None, False),
        (None, None, False),
    ],
)
def test_the_window_names_the_budget(policy: str | None, window: int | None, is_of_host: bool) -> None:
    budget = budget_of(headers(5000, 4997, at(minutes=5), policy))
    assert budget is not None
    assert (budget.limit, budget.left, budget.window) == (5000, 4997, window)
    assert budget.is_of_host is is_of_host


@pytest.mark.parametrize(
    "wrong",
    [
        httpx.Headers({}),
        headers("", 5, at()),
        headers(0, 0, at()),
        headers(5000, "many", at()),
        headers(5000, 5, "nan"),
        headers(5000, 5, "inf"),
        headers(5000, 5, "tomorrow"),
    ],
    ids=range(7),
)
def test_what_makes_no_sense_paces_nothing(wrong: httpx.Headers) -> None:
    assert budget_of(wrong) is None


@pytest.mark.parametrize("ahead", [-7200, 7200])
def test_a_host_with_a_clock_of_its_own_is_waited_for_as_long_as_it_means(ahead: int) -> None:
    its_time = NOW + timedelta(seconds=ahead)
    date = format_datetime(its_time, usegmt=True)
    told = headers(5000, 0, (its_time + timedelta(seconds=90)).timestamp(), date=date)
    assert wait(budget_of(told)) == 90


@pytest.mark.parametrize(
    ("later", "policy", "seconds"),
    [
        (600, "5000;w=3600", 600),
        (-3 * HOUR, "5000;w=3600", 0),  # its clock is behind, or it is over
        (30 * HOUR, "5000;w=3600", HOUR),  # its clock is ahead
        (30 * HOUR, "3000;w=300", MINUTES),
        (400 * DAY, None, LONGEST_PAUSE_SECONDS),
    ],
)
def test_without_a_date_a_reset_lies_within_its_window(
    later: float, policy: str | None, seconds: float
) -> None:
    told = headers(5000, 0, time.time() + later, policy)
    assert wait(budget_of(told)) == pytest.approx(seconds, abs=60)


def test_a_small_reset_is_the_seconds_to_wait_as_the_draft_has_it() -> None:
    assert wait(budget_of(headers(5000, 0, 90))) == 90


@pytest.mark.parametrize(
    ("said", "date", "seconds"),
    [
        ("120", None, 120),
        ("0", None, 1),
        ("1e300", None, LONGEST_PAUSE_SECONDS),
        ("Tue, 24 Nov 2026 12:01:30 GMT", "Tue, 24 Nov 2026 12:01:00 GMT", 30),
        ("Tue, 24 Nov 2020 12:00:00 GMT", None, 1),
        ("Tue, 24 Nov 2099 12:00:00 GMT", None, LONGEST_PAUSE_SECONDS),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(said: str, date: str | None, seconds: float) -> None:
    told = httpx.Headers({"retry-after": said} | ({"date": date} if date is not None else {}))
    assert retry_after_of(told) == timedelta(seconds=seconds)


@pytest.mark.parametrize("said", ["inf", "nan", "", "soon", "Tue, 99 Nov 2026 12:00:00 GMT"])
def test_a_retry_after_that_is_neither_is_none(said: str) -> None:
    assert retry_after_of(httpx.Headers({"retry-after": said})) is None


@given(st.dictionaries(
    st.sampled_from(["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy",
                     "retry-after", "date"]),
    st.text(max_size=40) | st.integers().map(str) | st.floats().map(str),
))  # fmt: skip
def test_no_headers_break_anything_nor_stop_us_for_longer_than_a_day(told: dict[str, str]) -> None:
    budget, retry_after = budget_of(told), retry_after_of(told)
    if budget is not None:
        assert 0 <= wait(budget) <= LONGEST_PAUSE_SECONDS
        assert 0 <= budget.left <= budget.limit
        lane_budget(budget, NOW)
    if retry_after is not None:
        assert timedelta(seconds=1) <= retry_after <= timedelta(seconds=LONGEST_PAUSE_SECONDS)


@pytest.mark.parametrize(
    ("left", "until"),
    [
        (2503, set()),
        (2502, {"backfill_after"}),
        (1003, {"backfill_after"}),
        (1002, {"paced_until"}),
    ],
)
def test_a_replay_leaves_half_of_an_accounts_points_and_live_work_a_fifth(left: int, until: set[str]) -> None:
    told = lane_budget(Budget(5000, left, HOUR, 300), NOW)
    assert told["hour_left"] == left
    assert {name for name in told if not name.startswith("hour_")} == until


def test_a_budget_of_the_day_stands_beside_that_of_the_hour_and_a_hosts_beside_neither() -> None:
    assert lane_budget(Budget(35000, 30000, DAY, 300), NOW).keys() == {"day_limit", "day_left", "day_reset"}
    assert lane_budget(Budget(3000, 0, MINUTES, 300), NOW) == {}
