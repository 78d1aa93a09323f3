"""Checks the tracks of an MP4 file."""

import re
from collections.abc import Iterator
from typing import Final

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import MAX_BYTES_AT_ONCE, BoundedReader

_CODECS: Final = {b"mp4a", b"alac", b"fLaC", b"Opus"}
_HEAD_BYTES: Final = 8
_MAX_BOXES: Final = 10_000
_LARGE, _TO_THE_END = 1, 0
_OF_A_TRACK: Final = re.compile(rb"hdlr.{4}(?!dhlr).{4}(?P<handler>.{4})|stsd.{12}(?P<codec>.{4})", re.DOTALL)
"""What a track is, and then its codec. In QuickTime, `dhlr` says where its data is."""


def check(file: BoundedReader) -> None:
    """Raise unless the file has sound that browsers can play, and no video track."""
    top = {kind: (start, end) for kind, start, end in _boxes(file)}
    start, end = top.get(b"moov", (0, 0))
    file.seek(start)
    moov = file.read(min(end - start, MAX_BYTES_AT_ONCE))  # covers come last
    described = [(found["handler"], found["codec"]) for found in _OF_A_TRACK.finditer(moov)]
    handlers = {handler for handler, _ in described}
    if b"vide" in handlers:
        raise InvalidMediaError("it has a video track")
    data_start, data_end = top.get(b"mdat", (0, 0))
    if b"soun" not in handlers or data_start >= data_end:
        raise InvalidMediaError("no sound was found in it")
    handler = None
    for begun, codec in described:
        handler = begun or handler
        if codec is not None and handler == b"soun" and codec not in _CODECS:
            raise UnsupportedMediaError(f"{codec.decode('ascii', 'replace')!r} in MP4")


def _boxes(file: BoundedReader) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box of the file, and where its content begins and ends."""
    start = 0
    for _ in range(_MAX_BOXES):
        file.seek(start)
        head = file.read(2 * _HEAD_BYTES)
        if len(head) < _HEAD_BYTES:
            return
        size, body = int.from_bytes(head[:4], "big"), start + _HEAD_BYTES
        if size == _LARGE:
            size, body = int.from_bytes(head[8:], "big"), start + 2 * _HEAD_BYTES
        stop = file.size if size == _TO_THE_END else start + size
        if stop < body:
            raise InvalidMediaError("a part ends before it begins")
        yield head[4:8], body, min(stop, file.size)
        start = stop
    raise InvalidMediaError("it has too many parts")
