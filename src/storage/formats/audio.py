"""Detects the container of an audio file from its bytes, and verifies it by parsing."""

import re
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

from tinytag import TinyTag

from aggregates.values import TITLE_BYTES
from eventstore.untrusted import clean
from storage.errors import InvalidMediaError, RefusedMediaError, UnsupportedMediaError
from storage.formats import mp3, mp4, ogg, webm
from storage.formats.bounded import BoundedReader
from storage.uploads.upload import Staged

_SUPPORTED: Final = {
    "flac": rb"fLaC",
    "ogg": rb"OggS",
    "wav": rb"RIFF.{4}WAVE",
    "aiff": rb"FORM.{4}AIF[FC]",
    "m4a": rb".{4}ftyp",
    "webm": rb"\x1aE\xdf\xa3",
}
"""How a file of each kind begins."""
_UNSUPPORTED: Final = {
    "RF64": rb"RF64",
    "BW64": rb"BW64",
    "AVI": rb"RIFF.{4}AVI ",
    "MIDI": rb"MThd",
    "AMR": rb"#!AMR",
    "CAF": rb"caff",
    "Monkey's Audio": rb"MAC ",
    "WavPack": rb"wvpk",
    "DSF": rb"DSD ",
    "Musepack": rb"MPCK|MP\+",
    "Windows Media": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "raw AAC": rb"ADIF",
    "AU": rb"\.snd",
}
_KINDS: Final = {
    kind: re.compile(begins, re.DOTALL) for kind, begins in {**_SUPPORTED, **_UNSUPPORTED}.items()
}
_DURATIONS: Final[dict[str, Callable[[BoundedReader], float | None]]] = {
    "webm": webm.duration,
    "ogg": ogg.duration,
}
_FLAC_FRAMES: Final = (b"\xff\xf8", b"\xff\xf9")
_HEAD_BYTES: Final = 16
_YEAR: Final = re.compile("[0-9]{4}")
MAX_TRACK_NUMBER: Final = 9999
_MIN_HEADER_BYTES: Final = 44  # of a WAV file; AIFF takes more
# No supported codec goes below this, even for silence: a lower rate means that the header claims too much.
_MIN_BITS_PER_SECOND: Final = 32


def read_audio(staged: Staged) -> tuple[str, int | None]:
    """Return its kind and duration in seconds, or raise a RefusedMediaError. Names and types given by the client are ignored."""
    if not staged.size:
        raise InvalidMediaError("the file is empty")
    with staged.open() as file:
        reader = BoundedReader(file)
        try:
            kind = _kind(reader)
            seconds = _seconds(reader, kind, staged.size)
        except RefusedMediaError:
            raise
        except Exception as exc:  # a hostile file may make a parser raise anything
            raise InvalidMediaError(str(exc) or type(exc).__name__) from exc
    return kind, None if seconds is None else round(seconds)


def read_tags(staged: Staged, kind: str) -> tuple[dict[str, Any], bytes | None]:
    """Return what the tags of a file say that `read_audio` has described, and the cover; what cannot be read says nothing."""
    with staged.open() as file:
        try:
            reader = cast("BinaryIO", BoundedReader(file))
            found = TinyTag.get(filename=f"sound.{kind}", file_obj=reader, duration=False, image=True)
        except Exception:  # noqa: BLE001 - a hostile file may make a parser raise anything
            found = TinyTag()
    year, cover = _YEAR.match(found.year or ""), found.images.any
    said: dict[str, Any] = {"disc": _number(found.disc), "number": _number(found.track)}
    said["year"] = int(year[0]) if year else None
    for name in ("title", "artist", "album"):
        text = clean((getattr(found, name) or "").strip()).encode()[
            :TITLE_BYTES
        ]  # as long as a record can hold
        said[name] = text.decode(errors="ignore") or None
    return said, cover.data if cover is not None else None


def _number(said: int | None) -> int | None:
    return said if said and 0 < said <= MAX_TRACK_NUMBER else None


def _kind(file: BoundedReader) -> str:
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    kind = next((kind for kind, begins in _KINDS.items() if begins.match(head)), None)
    if kind in _UNSUPPORTED:
        raise UnsupportedMediaError(kind)
    return kind or mp3.sniff(file)


def _seconds(file: BoundedReader, kind: str, size: int) -> float | None:
    if kind == "m4a":
        mp4.check(file)
    read = _DURATIONS.get(kind)
    seconds = read(file) if read is not None else _parsed_seconds(file, kind, size)
    if seconds is None:
        return None
    if not 0 < seconds <= size * 8 / _MIN_BITS_PER_SECOND:
        raise InvalidMediaError(
            "its duration cannot be read" if seconds <= 0 else "it claims more sound than it holds"
        )
    return seconds


def _parsed_seconds(file: BoundedReader, kind: str, size: int) -> float:
    file.seek(0)
    tag = TinyTag.get(filename=f"sound.{kind}", file_obj=cast("BinaryIO", file), tags=False)
    if tag.duration is None:
        raise InvalidMediaError("no sound was found in it")
    # The FLAC parser stops after the headers, which do not prove that there is sound.
    if kind == "flac" and file.read(2) not in _FLAC_FRAMES:
        raise InvalidMediaError("no sound was found in it")
    if kind in {"wav", "aiff"} and tag.is_lossless and tag.bitrate:
        # The header of uncompressed sound tells the intended length; a truncated file has less.
        return min(tag.duration, (size - _MIN_HEADER_BYTES) * 8 / (tag.bitrate * 1000))
    return tag.duration
