"""Checks the tracks of a WebM file and reads its duration."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import BoundedReader

_EBML, _DOC_TYPE, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x4282, 0x18538067, 0x1F43B675
_INFO, _SCALE, _DURATION = 0x1549A966, 0x2AD7B1, 0x4489
_TRACKS, _TRACK, _TRACK_TYPE, _CODEC = 0x1654AE6B, 0xAE, 0x83, 0x86
_CONTAINERS: Final = {_EBML, _SEGMENT, _INFO, _TRACKS, _TRACK}
_OF_THE_FILE: Final = {_DOC_TYPE, _SCALE, _DURATION}
_OF_A_TRACK: Final = {_TRACK_TYPE, _CODEC}
_VIDEO, _SOUND = b"\x01", b"\x02"
_CODECS: Final = {b"A_OPUS", b"A_VORBIS"}
_FLOATS: Final = {4: ">f", 8: ">d"}
_LONGEST_VALUE: Final = 64
_MAX_PARTS: Final = 10_000
_USUAL_SCALE: Final = (1_000_000).to_bytes(3, "big")
_NANOSECONDS: Final = 1e9


Values = dict[int, bytes]


class _Part(NamedTuple):
    id: int
    start: int
    size: int


def duration(file: BoundedReader) -> float | None:
    """Return the duration in seconds, or None if the file has none; raises for video and other formats."""
    values, tracks, has_data = _read(file)
    kinds = {track.get(_TRACK_TYPE) for track in tracks}
    if _VIDEO in kinds:
        raise InvalidMediaError("it has a video track")
    if _SOUND not in kinds or not has_data:
        raise InvalidMediaError("no sound was found in it")
    for track in tracks:
        if track.get(_TRACK_TYPE) == _SOUND and track.get(_CODEC) not in _CODECS:
            raise UnsupportedMediaError("another codec than Opus or Vorbis in WebM")
    if (length := values.get(_DURATION)) is None:
        return None
    scale = int.from_bytes(values.get(_SCALE, _USUAL_SCALE), "big")
    ticks: float = struct.unpack(_FLOATS[len(length)], length)[0]
    return ticks * scale / _NANOSECONDS


def _read(file: BoundedReader) -> tuple[Values, list[Values], bool]:
    """Return the values of the file, those of its tracks, and whether it has data."""
    values: Values = {}
    tracks: list[Values] = []
    for part in _parts(file):
        if part.id == _SEGMENT and values.get(_DOC_TYPE) == b"matroska":
            raise UnsupportedMediaError("Matroska")
        if part.id == _SEGMENT and values.get(_DOC_TYPE) != b"webm":
            raise InvalidMediaError("it is not WebM")
        if part.id == _CLUSTER:
            return values, tracks, part.start < file.size
        if part.id == _TRACK:
            tracks.append({})
        elif part.id in _OF_A_TRACK and tracks:
            tracks[-1][part.id] = _value(file, part).strip(b"\0")
        elif part.id in _OF_THE_FILE:
            values[part.id] = _value(file, part)
    return values, tracks, False


def _parts(file: BoundedReader) -> Iterator[_Part]:
    """Yield the parts of the file up to the first cluster; what a container holds comes after it."""
    start = 0
    for _ in range(_MAX_PARTS):
        if start >= file.size:
            return
        file.seek(start)
        identifier, _ = _number(file, keep_marker=True)
        size, unknown = _number(file, keep_marker=False)
        start = file.tell()
        yield _Part(identifier, start, size)
        if identifier == _CLUSTER:
            return
        if identifier not in _CONTAINERS:
            if unknown:  # only a live recorder does not know where a segment ends
                raise InvalidMediaError("a part has no end")
            start += size
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


def _value(file: BoundedReader, part: _Part) -> bytes:
    if not 0 < part.size <= _LONGEST_VALUE:
        raise InvalidMediaError("a value is too long")
    file.seek(part.start)
    return file.read(part.size)
