"""A record key is the TID of a timestamp."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.values import ALPHABET, EPOCH, tid_of

MOMENTS = st.integers(min_value=0, max_value=130 * 366 * 86_400_000_000).map(
    lambda microseconds: EPOCH + timedelta(microseconds=microseconds)
)


def microseconds(tid: str) -> int:
    """Read a TID as the specification says: 53 bits of microseconds, then 10 bits of clock id."""
    number = 0
    for character in tid:
        number = number * 32 + ALPHABET.index(character)
    return number >> 10


@pytest.mark.parametrize(
    ("timestamp", "tid"),
    [
        # 3jzfcijpj2z2a of the specification and 3l25zusnsfctk of another implementation, their clock ids set to 0.
        (datetime(2023, 6, 30, 15, 3, 1, 887007, tzinfo=UTC), "3jzfcijpj2z22"),
        (EPOCH + timedelta(microseconds=1724171495793000), "3l25zusnsfc22"),
    ],
)
def test_known_timestamps_have_known_keys(timestamp: datetime, tid: str) -> None:
    assert tid_of(timestamp) == tid


@given(MOMENTS)
def test_a_key_has_13_characters_and_holds_every_microsecond(timestamp: datetime) -> None:
    tid = tid_of(timestamp)
    assert len(tid) == 13
    assert set(tid) <= set(ALPHABET)
    assert tid[0] in "234567abcdefghij"  # the top bit is 0
    assert tid[-2:] == "22"  # clock id 0
    assert EPOCH + timedelta(microseconds=microseconds(tid)) == timestamp


@given(MOMENTS, MOMENTS)
def test_keys_sort_as_their_timestamps_do(one: datetime, other: datetime) -> None:
    assert (tid_of(one) < tid_of(other)) == (one < other)
