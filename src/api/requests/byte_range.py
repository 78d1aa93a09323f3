"""Byte ranges (RFC 9110, 14): one range is served; a request for several gets everything."""

import re
from dataclasses import dataclass
from typing import Final

from fastapi import Request

ONE: Final = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class ByteRange:
    """From `start` to before `end`, of `size` bytes; `asked` if the request named a range that is served."""

    start: int
    end: int
    size: int
    asked: bool = True

    @property
    def content_range(self) -> str:
        """The Content-Range header."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def range_of(request: Request, etag: str, size: int) -> ByteRange | None:
    """Parse Range; None if it lies outside. If-Range with another tag, and anything but one range, mean everything."""
    everything = ByteRange(0, size, size, asked=False)
    match = ONE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return everything
    first, last = match.groups()
    if not first and not last:
        return everything
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if last and first and int(last) < int(first):
        return everything  # not a valid range at all
    return ByteRange(start, end, size) if start < end else None
