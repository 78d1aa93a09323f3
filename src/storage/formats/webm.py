"""Checks the tracks of a WebM file and reads its duration."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import BoundedReader

_EBML, _DOC_TYPE, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x4282, 0x18538067, 0x1F43B675
_INFO, _SCALE, _DURATION = 0x1549A966, 0x2AD7B1, 0x4489
_TRACKS, _TRACK, _TRACK_TYPE, _CODEC = 0x1654AE6B, 0xAE, 0x83, 0x86
_VIDEO, _SOUND = 1, 2
_CODECS: Final = {b"A_OPUS", b"A_VORBIS"}
_FLOATS: Final = {4: ">f", 8: ">d"}
_LONGEST_VALUE: Final = 64
_MAX_ELEMENTS: Final = 10_000
_NANOSECONDS: Final = 1e9


@dataclass(frozen=True)
class _Element:
    id: int
    start: int
    end: int | None  # None: a live recorder does not know the end of a segment


@dataclass
class _Segment:
    scale: int = 1_000_000
    duration: float | None = None
    tracks: list[tuple[int, bytes]] = field(default_factory=list)
    has_data: bool = False


def duration(file: BoundedReader) -> float | None:
    """Return the duration in seconds, or None if the file has none; raises for video and other formats."""
    segment = _segment(file)
    kinds = {kind for kind, _ in segment.tracks}
    if _VIDEO in kinds:
        raise InvalidMediaError("it has a video track")
    if _SOUND not in kinds or not segment.has_data:
        raise InvalidMediaError("no sound was found in it")
    for kind, codec in segment.tracks:
        if kind == _SOUND and codec not in _CODECS:
            raise UnsupportedMediaError("another codec than Opus or Vorbis in WebM")
    return None if segment.duration is None else segment.duration * segment.scale / _NANOSECONDS


def _segment(file: BoundedReader) -> _Segment:
    found = _Segment()
    for top in _elements(file, 0, file.size):
        if top.id == _EBML:
            types = [_value(file, part) for part in _children(file, top) if part.id == _DOC_TYPE]
            if types == [b"matroska"]:
                raise UnsupportedMediaError("Matroska")
            if types != [b"webm"]:
                raise InvalidMediaError("it is not WebM")
        elif top.id == _SEGMENT:
            for part in _elements(file, top.start, top.end or file.size):
                if part.id == _CLUSTER:
                    found.has_data = part.start < file.size
                    break
                _read_part(file, part, found)
            break
    return found


def _read_part(file: BoundedReader, part: _Element, found: _Segment) -> None:
    if part.id == _INFO:
        for child in _children(file, part):
            if child.id == _SCALE:
                found.scale = int.from_bytes(_value(file, child), "big")
            elif child.id == _DURATION:
                data = _value(file, child)
                found.duration = struct.unpack(_FLOATS[len(data)], data)[0]
    elif part.id == _TRACKS:
        for child in _children(file, part):
            if child.id == _TRACK:
                found.tracks.append(_track(file, child))


def _track(file: BoundedReader, track: _Element) -> tuple[int, bytes]:
    values = {part.id: part for part in _children(file, track) if part.id in {_TRACK_TYPE, _CODEC}}
    if len(values) < 2:  # noqa: PLR2004 - a type and a codec
        raise InvalidMediaError("a track is not described")
    kind = int.from_bytes(_value(file, values[_TRACK_TYPE]), "big")
    return kind, _value(file, values[_CODEC]).rstrip(b"\0")


def _children(file: BoundedReader, parent: _Element) -> Iterator[_Element]:
    if parent.end is None:
        raise InvalidMediaError("a part has no end")
    return _elements(file, parent.start, min(parent.end, file.size))


def _elements(file: BoundedReader, start: int, end: int) -> Iterator[_Element]:
    for _ in range(_MAX_ELEMENTS):
        if start >= end:
            return
        file.seek(start)
        identifier, _ = _number(file, keep_marker=True)
        length, unknown = _number(file, keep_marker=False)
        body = file.tell()
        yield _Element(identifier, body, None if unknown else body + length)
        if unknown:
            return
        start = body + length
    raise InvalidMediaError("it has too many parts")


def _number(file: BoundedReader, *, keep_marker: bool) -> tuple[int, bool]:
    first = file.read(1)
    width = 9 - first[0].bit_length() if first else 9
    rest = file.read(width - 1)
    if width > 8 or len(rest) < width - 1:  # noqa: PLR2004 - EBML numbers have at most 8 bytes
        raise InvalidMediaError("it is cut off")
    number = int.from_bytes(first + rest, "big")
    value = number if keep_marker else number & ((1 << 7 * width) - 1)
    return value, value == (1 << 7 * width) - 1


def _value(file: BoundedReader, element: _Element) -> bytes:
    if element.end is None or not 0 < element.end - element.start <= _LONGEST_VALUE:
        raise InvalidMediaError("a value is too long")
    file.seek(element.start)
    return file.read(element.end - element.start)
