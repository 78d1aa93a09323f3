"""Byte ranges (RFC 9110, 14): one range is served; a request for several gets everything."""

from dataclasses import dataclass

from fastapi import Request

from eventstore.untrusted import whole_number


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
    first, last = _positions(request.headers.get("range", ""))
    if request.headers.get("if-range", etag) != etag:
        return everything
    if first is None:
        if last is None:
            return everything
        start, end = max(0, size - last), size
    else:
        if last is not None and last < first:
            return everything  # not a valid range at all
        start, end = first, size if last is None else min(last + 1, size)
    return ByteRange(start, end, size) if start < end else None


def _positions(header: str) -> tuple[int | None, int | None]:
    """Return the first and the last position of one range, of which one may be absent; both are, for anything else."""
    unit, _, span = header.partition("=")
    texts = [part.strip() for part in span.split("-", 2)]
    numbers = [whole_number(text) for text in texts]
    if unit.strip().lower() != "bytes" or len(texts) != 2:  # noqa: PLR2004 - a range has two ends
        return None, None
    if any(text and number is None for text, number in zip(texts, numbers, strict=True)):
        return None, None
    return numbers[0], numbers[1]
