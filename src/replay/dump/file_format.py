"""The dump file: lines of JSON, the first a header, the last a digest of all others; each line has a checksum.

{"kind": "header", "row": {"format": 1, ...}, "sum": "..."}
{"kind": "stored_event", "row": {...}, "sum": "..."}
{"kind": "end", "row": {"lines": 2, "digest": "..."}, "sum": "..."}

`sum` is the first 16 hex digits of the SHA-256 of the line's kind and row, `digest` the SHA-256 of all lines before.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any, Final

from replay.errors import BrokenDumpError

FORMAT: Final = 1
HEADER: Final = "header"
END: Final = "end"

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line: its number in the file from 1, the kind of its row, and the row."""

    number: int
    kind: str
    row: Row


def write_lines(header: Row, rows: Iterable[tuple[str, Row]]) -> Iterator[bytes]:
    digest, lines = sha256(), 0
    for kind, row in chain([(HEADER, {"format": FORMAT, **header})], rows):
        line = _line(kind, row)
        digest.update(line)
        lines += 1
        yield line
    yield _line(END, {"lines": lines, "digest": digest.hexdigest()})


def read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a dump file, header first; raises BrokenDumpError where a line was changed or is missing."""
    digest, number, lines = sha256(), 0, iter(lines)
    for number, raw in enumerate(lines, 1):
        line = _parsed(number, raw)
        if (line.kind == HEADER) != (number == 1):
            raise BrokenDumpError(number, "an export has exactly one header, as its first line")
        if line.kind == END:
            if line.row != {"lines": number - 1, "digest": digest.hexdigest()}:
                raise BrokenDumpError(number, "lines were lost, added or moved: the digest does not match")
            if next(lines, None) is not None:
                raise BrokenDumpError(number + 1, "there is data after the end")
            return
        if number == 1 and line.row.get("format") != FORMAT:
            raise BrokenDumpError(number, f"this version reads format {FORMAT}, not {line.row.get('format')}")
        digest.update(raw)
        yield line
    raise BrokenDumpError(number + 1, "the file is truncated")


def _line(kind: str, row: Row) -> bytes:
    text = json.dumps({"kind": kind, "row": row, "sum": _sum(kind, row)}, separators=(",", ":"))
    return text.encode() + b"\n"


def _sum(kind: str, row: Row) -> str:
    return sha256(json.dumps([kind, row], sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _parsed(number: int, raw: bytes) -> Line:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        raise BrokenDumpError(number, "not a line of JSON") from None
    match line:
        case {"kind": str(kind), "row": dict(row), "sum": str(checksum), **rest} if not rest:
            if checksum != _sum(kind, row):
                raise BrokenDumpError(number, "the line was altered: its checksum does not match")
            return Line(number, kind, row)
    raise BrokenDumpError(number, "a line must have a kind, a row and a sum")
