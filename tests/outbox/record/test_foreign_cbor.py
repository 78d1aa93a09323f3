"""The values of DAG-CBOR are counted without decoding it."""

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.untrusted import TooComplexError
from outbox.record.dag_cbor import require_few_values

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def count(value: object) -> int:
    match value:
        case list():
            return 1 + sum(map(count, value))
        case dict():
            return 1 + sum(1 + count(inner) for inner in value.values())
    return 1


@given(VALUES, VALUES)
def test_as_many_are_counted_as_are_decoded(one: object, another: object) -> None:
    data = bytes(libipld.encode_dag_cbor(one) + libipld.encode_dag_cbor(another))
    values = count(one) + count(another)
    require_few_values(data, max_values=values)
    with pytest.raises(TooComplexError):
        require_few_values(data, max_values=values - 1)


def test_what_no_decoder_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="DAG-CBOR"):
        require_few_values(b"\x9f\x01\xff")
