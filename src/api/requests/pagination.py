"""Cursors and lengths of pages."""

from typing import Annotated, Final

from pydantic import Field

from aggregates.errors import InvalidFieldError
from eventstore.untrusted import whole_number

DEFAULT_PAGE_LENGTH: Final = 50
MAX_PAGE_LENGTH: Final = 100
PageLength = Annotated[
    int | None, Field(description=f"1 to {MAX_PAGE_LENGTH}; {DEFAULT_PAGE_LENGTH} when absent")
]
Cursor = Annotated[str | None, Field(description="the `cursor` of the page before")]
PageOrLines = Annotated[
    int | None,
    Field(
        description=f"1 to {MAX_PAGE_LENGTH}, {DEFAULT_PAGE_LENGTH} when absent; as NDJSON, how many lines in all"
    ),
]


def cursor_of(text: str | None) -> int | None:
    """Parse a cursor, which is opaque to callers; raises InvalidFieldError."""
    if text is None:
        return None
    if (position := whole_number(text)) is None:
        raise InvalidFieldError("cursor", "must be one that a page before gave")
    return position


def page_length(limit: int | None) -> int:
    """Return the length of a page, 50 unless the caller chose one; raises InvalidFieldError above 100."""
    if limit is None:
        return DEFAULT_PAGE_LENGTH
    if not 1 <= limit <= MAX_PAGE_LENGTH:
        raise InvalidFieldError("limit", f"must be 1 to {MAX_PAGE_LENGTH}")
    return limit


def line_count(limit: int | None) -> int | None:
    """Return how many lines to stream, None for all; raises InvalidFieldError."""
    if limit is not None and limit < 1:
        raise InvalidFieldError("limit", "must be 1 or more")
    return limit
