"""What a caller says in headers: which version it means, and how long it will wait."""

import re
from typing import Final

LONGEST_WAIT: Final = 30
TAG: Final = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')
WAIT: Final = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?")


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """Read If-Match: the versions that will do, or None for any. What is no version of ours matches nothing."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = TAG.findall(if_match) or [("", if_match.strip())]
    # a weak tag never matches in If-Match (RFC 9110, 13.1.1)
    return frozenset(
        int(tag)
        for weak, tag in tags
        if not weak and tag.isascii() and tag.isdecimal() and len(tag) < 10  # noqa: PLR2004
    )


def wait_of(prefer: list[str]) -> int | None:
    """Read Prefer: the seconds to wait for the mirror, at most 30; None where nothing is preferred."""
    for preference in ",".join(prefer).split(","):
        name = preference.partition(";")[0].strip().lower()
        if (match := WAIT.fullmatch(name)) is not None:
            return min(int(match[1]), LONGEST_WAIT)
    return None
