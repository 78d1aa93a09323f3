"""Reads how long an Ogg file is: the first page of each stream names its codec, the last of the sound how many samples came before it.

Comments are not read: a parser of tags compares each with all others.
"""

from typing import Final

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import BoundedReader

_INDEX: Final = (b"fishead\0",)
_VIDEO: Final = (b"\x80theora", b"\x01video\0\0", b"BBCD\0", b"OVP80")
_PAGE_BYTES: Final = 27
_FIRST_PAGE: Final = 2
_CODEC_BYTES: Final = 30
"""Of the first packet: as far as the sample rate of FLAC."""
_OPUS_RATE: Final = 48_000
_MAX_STREAMS: Final = 16
_TAIL_BYTES: Final = 2 * 65_307
"""Of pages of the largest size: the last one is whole in it."""
_NO_SAMPLES: Final = 2**64 - 1
"""The position of a page on which no packet ends."""


def duration(file: BoundedReader) -> float:
    """Return the duration in seconds; raises unless all streams are Vorbis, Opus or FLAC."""
    serial, rate, skipped = _sound_of(file)
    file.seek(max(0, file.size - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    start, last = tail.rfind(b"OggS\0"), None
    while start >= 0:
        page = tail[start : start + _PAGE_BYTES]
        samples = int.from_bytes(page[6:14], "little")
        if samples != _NO_SAMPLES and (last is None or page[14:18] == serial):
            last = samples  # of a file that others were appended to, the last one's
            if page[14:18] == serial:
                break
        start = tail.rfind(b"OggS\0", 0, start)
    if last is None:
        raise InvalidMediaError("no sound was found in it")
    return max(0, last - skipped) / rate if rate else 0.0


def _sound_of(file: BoundedReader) -> tuple[bytes, int, int]:
    """Return the serial number of the sound, its samples a second, and how many at its begin are not played."""
    start, sound = 0, None
    for _ in range(_MAX_STREAMS):
        file.seek(start)
        page = file.read(_PAGE_BYTES)
        if len(page) < _PAGE_BYTES or not page.startswith(b"OggS") or not page[5] & _FIRST_PAGE:
            break
        lengths = file.read(page[26])
        codec = file.read(_CODEC_BYTES)
        if codec.startswith(_VIDEO):
            raise InvalidMediaError("it has a video track")
        if codec.startswith(b"OpusHead"):
            sound = page[14:18], _OPUS_RATE, int.from_bytes(codec[10:12], "little")
        elif codec.startswith(b"\x01vorbis"):
            sound = page[14:18], int.from_bytes(codec[12:16], "little"), 0
        elif codec.startswith(b"\x7fFLAC"):
            sound = page[14:18], int.from_bytes(codec[27:30], "big") >> 4, 0
        elif not codec.startswith(_INDEX):
            raise UnsupportedMediaError("another codec than Vorbis, Opus or FLAC in Ogg")
        start += _PAGE_BYTES + len(lengths) + sum(lengths)
    if sound is None:
        raise InvalidMediaError("no sound was found in it")
    return sound
