"""Parses If-Match and Prefer."""

from typing import Annotated, Final

from fastapi import Depends, Request

from eventstore.untrusted import whole_number

MAX_WAIT_SECONDS: Final = 30


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """Return the versions of If-Match, or None for any version; a tag that is no version matches nothing."""
    if if_match is None or if_match.strip() == "*":
        return None
    # a weak tag, W/"1", is no number: it never matches in If-Match (RFC 9110, 13.1.1)
    versions = (whole_number(tag.strip().strip('"')) for tag in if_match.split(","))
    return frozenset(version for version in versions if version is not None)


def wait_of(prefer: list[str]) -> int | None:
    """Return the seconds of `Prefer: wait`, at most 30; None without that preference."""
    for preference in ",".join(prefer).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = whole_number(value.strip().strip('"'))
        if name.strip().lower() == "wait" and seconds is not None:
            return min(seconds, MAX_WAIT_SECONDS)
    return None


async def preferred_wait(request: Request) -> int | None:
    return wait_of(request.headers.getlist("prefer"))


WaitPreference = Annotated[int | None, Depends(preferred_wait)]
"""The seconds of `Prefer: wait`."""
