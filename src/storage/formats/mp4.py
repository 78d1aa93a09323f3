"""Checks the tracks of an MP4 file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import BoundedReader

_CODECS: Final = {b"mp4a", b"alac", b"fLaC", b"Opus"}
_HEAD_BYTES: Final = 8
_MAX_BOXES: Final = 10_000
_LARGE, _TO_THE_END = 1, 0


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    end: int


def check(file: BoundedReader) -> None:
    """Raise unless the file has sound that browsers can play, and no video track."""
    top = {box.kind: box for box in _boxes(file, 0, file.size)}
    moov, data = top.get(b"moov"), top.get(b"mdat")
    if moov is None or data is None or data.start >= data.end:
        raise InvalidMediaError("no sound was found in it")
    tracks = [box for box in _boxes(file, moov.start, moov.end) if box.kind == b"trak"]
    kinds = {_handler(file, track) for track in tracks}
    if b"vide" in kinds:
        raise InvalidMediaError("it has a video track")
    if b"soun" not in kinds:
        raise InvalidMediaError("no sound was found in it")
    for track in tracks:
        if _handler(file, track) == b"soun" and (codec := _codec(file, track)) not in _CODECS:
            raise UnsupportedMediaError(f"{codec.decode('ascii', 'replace')!r} in MP4")


def _handler(file: BoundedReader, track: _Box) -> bytes:
    handler = _inside(file, track, b"mdia", b"hdlr")
    file.seek(handler.start + 8)
    return file.read(4)


def _codec(file: BoundedReader, track: _Box) -> bytes:
    description = _inside(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    file.seek(description.start + 12)
    return file.read(4)


def _inside(file: BoundedReader, box: _Box, *path: bytes) -> _Box:
    for kind in path:
        found = next((child for child in _boxes(file, box.start, box.end) if child.kind == kind), None)
        if found is None:
            raise InvalidMediaError("a track is not described")
        box = found
    return box


def _boxes(file: BoundedReader, start: int, end: int) -> Iterator[_Box]:
    for _ in range(_MAX_BOXES):
        file.seek(start)
        head = file.read(2 * _HEAD_BYTES)
        if start + _HEAD_BYTES > end or len(head) < _HEAD_BYTES:
            return
        size, body = int.from_bytes(head[:4], "big"), start + _HEAD_BYTES
        if size == _LARGE:
            size, body = int.from_bytes(head[8:], "big"), start + 2 * _HEAD_BYTES
        stop = end if size == _TO_THE_END else start + size
        if stop < body:
            raise InvalidMediaError("a part ends before it begins")
        yield _Box(head[4:8], body, min(stop, end))
        start = stop
    raise InvalidMediaError("it has too many parts")
