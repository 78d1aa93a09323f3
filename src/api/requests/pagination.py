"""Pages: where one goes on, and how long it is."""

from typing import Final

from aggregates.errors import InvalidFieldError
from api.requests.path_params import LARGEST

USUAL_PAGE: Final = 50
LONGEST_PAGE: Final = 100


def cursor_of(text: str | None) -> int | None:
    """Read a cursor, which is a number of ours that callers need not understand."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST)) and int(text) <= LARGEST):
        raise InvalidFieldError("cursor", "must be one that a page before gave")
    return int(text)


def limit_of(limit: int) -> int:
    """Read a page's length; nobody gets more than 100 at once."""
    if limit < 1:
        raise InvalidFieldError("limit", f"must be 1 to {LONGEST_PAGE}")
    return min(limit, LONGEST_PAGE)
