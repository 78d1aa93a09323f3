"""JSON of another server is parsed only where that takes a few milliseconds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.untrusted import MAX_DEPTH, MAX_VALUES, TooComplexError, file_name, parsed, whole_number

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_a_server_means_is_read(value: Any) -> None:
    assert parsed(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"NaN",
        b"[-Infinity]",
        b"9" * 21,
        b'{"a":1,"a":1}',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_not_json_between_servers_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(content)


def test_values_are_counted_before_any_is_made() -> None:
    assert parsed(b"[" + b"1," * (MAX_VALUES - 2) + b"1]")[-1] == 1
    with pytest.raises(TooComplexError):
        parsed(b"[" + b"1," * MAX_VALUES)
    assert parsed(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_a_whole_number_has_ascii_digits_alone_and_18_at_most():
    assert whole_number("007") == 7
    assert whole_number("9" * 18) == 10**18 - 1
    for other in ("", "9" * 19, "9" * 5000, "-1", "+1", " 1", "1_0", "1.0", "٣", "²"):
        assert whole_number(other) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etcpasswd"),
        ("a\u202egnp.exe", "agnp.exe"),
        (" . ", "untitled"),
        ("CON", "_CON"),
        ("nul.live", "_nul.live"),
        ("Console", "Console"),
    ],
)
def test_a_text_becomes_a_name_that_every_file_system_can_hold(text: str, name: str) -> None:
    assert file_name(text) == name
