"""Checks the codecs of an Ogg file: the first page of each stream names its codec, before all other pages."""

from typing import Final

from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.formats.bounded import BoundedReader

_SOUND: Final = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")
_INDEX: Final = (b"fishead\0",)
_VIDEO: Final = (b"\x80theora", b"\x01video\0\0", b"BBCD\0", b"OVP80")
_PAGE_BYTES: Final = 27
_FIRST_PAGE: Final = 2
_MAX_STREAMS: Final = 16


def check(file: BoundedReader) -> None:
    """Raise unless all streams are Vorbis, Opus or FLAC."""
    start, sound = 0, False
    for _ in range(_MAX_STREAMS):
        file.seek(start)
        page = file.read(_PAGE_BYTES)
        if len(page) < _PAGE_BYTES or not page.startswith(b"OggS") or not page[5] & _FIRST_PAGE:
            break
        lengths = file.read(page[26])
        codec = file.read(8)
        if codec.startswith(_VIDEO):
            raise InvalidMediaError("it has a video track")
        if codec.startswith(_SOUND):
            sound = True
        elif not codec.startswith(_INDEX):
            raise UnsupportedMediaError("another codec than Vorbis, Opus or FLAC in Ogg")
        start += _PAGE_BYTES + len(lengths) + sum(lengths)
    if not sound:
        raise InvalidMediaError("no sound was found in it")
