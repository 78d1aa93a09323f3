"""Where a page ends: after so many rows, or before PAGE_BYTES, since callers choose how large a row is."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

T = TypeVar("T")

PAGE_BYTES: Final = 1024 * 1024
"""Of a page's rows as JSON; a row that is larger has a page of its own."""
ROW_BYTES: Final = 2048
"""Of a row beside its own values: the names of its fields, and addresses that are made for it."""


def size_of(row: Any) -> int:
    """Return how many bytes the values of a row take at most, as JSON in ASCII."""
    encoded = _encode(row)
    # a byte of UTF-8 becomes three: two bytes are written as \u00e9, and four as two of those
    return len(encoded) if encoded.isascii() else 3 * len(encoded)


def page_of(rows: Iterable[T], limit: int, size: Callable[[T], int] = size_of) -> tuple[list[T], bool]:
    """Return the rows of a page, at least one if there are any, and whether more follow; of these it reads the first alone."""
    page: list[T] = []
    room = PAGE_BYTES
    for row in rows:
        room -= size(row) + ROW_BYTES
        if page and (len(page) == limit or room < 0):
            return page, True
        page.append(row)
    return page, False


def size_in_sql(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[int]:
    """Return the same of a column with JSON, without its value."""
    text = sa.cast(column, sa.Text)
    characters = sa.func.length(text)
    if dialect == "sqlite":  # which has the JSON in ASCII
        return characters
    return characters + 5 * (sa.func.octet_length(text) - characters)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, sa.Row) else str(value)


_encode: Final = msgspec.json.Encoder(enc_hook=_plain).encode
