"""Cursors and lengths of pages."""

from typing import Final

from aggregates.errors import InvalidFieldError
from api.requests.path_params import MAX_ID

DEFAULT_PAGE_LENGTH: Final = 50
MAX_PAGE_LENGTH: Final = 100


def cursor_of(text: str | None) -> int | None:
    """Parse a cursor, which is opaque to callers; raises InvalidFieldError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID):
        raise InvalidFieldError("cursor", "must be one that a page before gave")
    return int(text)


def limit_of(limit: int) -> int:
    """Return a page's length, at most 100; raises InvalidFieldError."""
    if limit < 1:
        raise InvalidFieldError("limit", f"must be 1 to {MAX_PAGE_LENGTH}")
    return min(limit, MAX_PAGE_LENGTH)
