"""Detects MP3, which has no magic number, by two consecutive frames."""

from typing import Final, NamedTuple

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import BoundedReader

_ID3_BYTES: Final = 10
_LONGEST_FRAME: Final = 1441
_AFTER_ID3: Final = 64 * 1024  # encoders pad
_LAYER_2, _LAYER_3, _VERSION_1, _VERSION_RESERVED, _RESERVED_RATE = 2, 1, 3, 1, 3
_KBITS_1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SYNC: Final = 0x7FF
_AAC: Final = (b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9")
_TEXT: Final = frozenset(b"\t\n\r" + bytes(range(32, 127)))
_OTHER_FILES: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"PK\x03\x04",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\x7fELF",
)


class _Frame(NamedTuple):
    version: int
    layer: int
    rate: int
    length: int


def sniff(file: BoundedReader) -> str:
    """Return mp3, or flac for FLAC behind an ID3 tag."""
    file.seek(0)
    head, start = file.read(_ID3_BYTES), 0
    if len(head) == _ID3_BYTES and head.startswith(b"ID3"):
        sizes = zip(head[6:], (21, 14, 7, 0), strict=True)
        start = _ID3_BYTES + sum((byte & 0x7F) << shift for byte, shift in sizes)
    file.seek(start)
    data = file.read(_AFTER_ID3 + 2 * _LONGEST_FRAME)
    if start and data.startswith(b"fLaC"):
        return "flac"
    first = _frame(data, 0)
    if first is not None and first.layer == _LAYER_2:
        raise UnsupportedMediaError("MPEG layer II")
    if data.startswith(_AAC):
        raise UnsupportedMediaError("raw AAC")
    # a recording may begin inside a frame, and a text or a picture may contain one
    may_be_cut = not data.startswith(_OTHER_FILES) and not _TEXT.issuperset(data[:4])
    reach = _AFTER_ID3 if start else _LONGEST_FRAME if may_be_cut else 1
    if any(_two_frames(data, at) for at in range(min(reach, len(data)))):
        return "mp3"
    raise InvalidMediaError("no sound was found in it")


def _two_frames(data: bytes, at: int) -> bool:
    first = _frame(data, at)
    if first is None or first.layer != _LAYER_3:
        return False
    second = _frame(data, at + first.length)
    return second is not None and first[:3] == second[:3]


def _frame(data: bytes, at: int) -> _Frame | None:
    header = int.from_bytes(data[at : at + 4].ljust(4, b"\0"), "big")
    version, layer = header >> 19 & 3, header >> 17 & 3
    bitrate, rate = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != _SYNC or version == _VERSION_RESERVED or rate == _RESERVED_RATE:
        return None
    if layer not in {_LAYER_2, _LAYER_3} or bitrate in {0, 15}:
        return None
    kbits = (_KBITS_1 if version == _VERSION_1 else _KBITS_2)[bitrate - 1]
    length = (144_000 if version == _VERSION_1 else 72_000) * kbits // _RATES[version][rate]
    return _Frame(version, layer, rate, length + (header >> 9 & 1))
