"""Columns hold the text that they always held: on SQLite a rebuild compares read models by it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from eventstore.sql.schema import Json

write = Json.bind_processor(sqlite.dialect())
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.text(st.characters(max_codepoint=0x7F)),
    lambda inner: st.lists(st.none() | inner) | st.dictionaries(st.text(), st.none() | inner),
    max_leaves=10,
)


@given(VALUES)
def test_json_is_written_as_json_dumps_does(value: Any) -> None:
    assert write(value) == json.dumps(value)
