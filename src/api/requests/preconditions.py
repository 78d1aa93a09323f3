"""Parses If-Match and Prefer."""

import re
from typing import Annotated, Final

from fastapi import Depends, Request

MAX_WAIT_SECONDS: Final = 30
TAG: Final = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)')
WAIT: Final = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?")


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """Return the versions of If-Match, or None for any version; a tag that is no version matches nothing."""
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
    """Return the seconds of `Prefer: wait`, at most 30; None without that preference."""
    for preference in ",".join(prefer).split(","):
        name = preference.partition(";")[0].strip().lower()
        if (match := WAIT.fullmatch(name)) is not None:
            return min(int(match[1]), MAX_WAIT_SECONDS)
    return None


async def preferred_wait(request: Request) -> int | None:
    return wait_of(request.headers.getlist("prefer"))


WaitPreference = Annotated[int | None, Depends(preferred_wait)]
"""The seconds of `Prefer: wait`."""
