"""ZIP archives of files as they are, uncompressed: names, sizes and checksums alone say where each byte is, so that any range is made without the rest.

The bytes of an archive follow from its entries and its time. ZIP64 is used only for what 16 or 32 bits do not hold (APPNOTE 6.3.10).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from struct import pack
from typing import Final

_MAX_16: Final = 0xFFFF
_MAX_32: Final = 0xFFFFFFFF
_VERSION: Final = 45  # has ZIP64
_ON_UNIX: Final = 3 << 8 | _VERSION
_NAMES_ARE_UTF_8: Final = 1 << 11
_MODE: Final = 0o100644 << 16


@dataclass(frozen=True)
class Entry:
    """A file of an archive, whose bytes have this CID; `data` are the bytes, where they are not to be read."""

    name: str
    size: int
    crc32: int
    cid: str
    data: bytes | None = None

    def __len__(self) -> int:
        return self.size


Part = Entry | bytes
"""A file that is to be read, or bytes."""


def parts_of(entries: Sequence[Entry], modified: datetime) -> list[Part]:
    """Return the whole archive; all its files have one time, from 1980 on, in steps of two seconds."""
    time = modified.hour << 11 | modified.minute << 5 | modified.second // 2
    day = modified.year - 1980 << 9 | modified.month << 5 | modified.day
    parts, directory, place = list[Part](), bytearray(), 0
    for entry in entries:
        header = b"PK\3\4" + _described(entry, time, day)
        directory += b"PK\1\2" + pack("<H", _ON_UNIX) + _described(entry, time, day, place)
        parts += [header, entry if entry.data is None else entry.data]
        place += len(header) + len(entry)
    return [*parts, bytes(directory) + _end(len(entries), len(directory), place)]


def _described(entry: Entry, time: int, day: int, place: int | None = None) -> bytes:
    """Return what the header of a file says of it; with its place, what the directory does."""
    numbers = [entry.size, entry.size, *([place] if place is not None else [])]
    large = [each for each in numbers if each >= _MAX_32]
    extra = pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    size, _, *places = (min(each, _MAX_32) for each in numbers)
    name = entry.name.encode()
    facts = (_VERSION, _NAMES_ARE_UTF_8, 0, time, day, entry.crc32, size, size, len(name), len(extra))
    described = pack("<5H3L2H", *facts)
    if places:
        described += pack("<3H2L", 0, 0, 0, _MODE, *places)
    return described + name + extra


def _end(count: int, size: int, place: int) -> bytes:
    """Return the end of the directory, which has so many entries and this size."""
    short = (min(count, _MAX_16), min(size, _MAX_32), min(place, _MAX_32))
    end = pack("<4s4H2LH", b"PK\5\6", 0, 0, short[0], *short, 0)
    if count < _MAX_16 and max(size, place) < _MAX_32:
        return end
    large = pack("<4sQ2H2L4Q", b"PK\6\6", 44, _ON_UNIX, _VERSION, 0, 0, count, count, size, place)
    return large + pack("<4sLQL", b"PK\6\7", 0, place + size, 1) + end


def within(parts: Sequence[Part], start: int, end: int) -> Iterator[tuple[Part, int, int]]:
    """Yield the parts of the archive from `start` to before `end`, each with the range of its own bytes."""
    place = 0
    for part in parts:
        first, last = max(start - place, 0), min(end - place, len(part))
        if first < last:
            yield part, first, last
        place += len(part)
