"""Malicious files: real samples, damaged where parsers break, and decompression bombs; reproducible by seed."""

import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.media_samples import samples

SOUNDS = (
    "ac3.m4a", "bare.mp3", "flac.ogg", "fragmented.m4a", "little_endian.aiff", "live.webm", "lossless.m4a",
    "opus.ogg", "speex.ogg", "tone.aiff", "tone.flac", "tone.m4a", "tone.mp3", "tone.ogg", "tone.webm",
    "variable.mp3", "video.mp4", "video.ogg", "video.webm", "windows.wma", "raw.aac", "layer2.mp2", "tone.mka",
)  # fmt: skip
PICTURES = ("JPEG", "PNG", "WEBP", "GIF")
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
PAGE = b"<html><script>alert(1)</script></html>"


def sounds() -> dict[str, bytes]:
    return {name: samples.file(name) for name in SOUNDS} | {"tone.wav": samples.tone(0.5)}


def pictures() -> dict[str, bytes]:
    """An image of each kind, large enough to have several chunks."""
    noise = Image.frombytes("RGB", (40, 40), samples.noise(4800))
    found = {}
    for kind in PICTURES:
        target = io.BytesIO()
        noise.save(target, kind)
        found[kind] = target.getvalue()
    return found


def mutants(whole: bytes, others: list[bytes], chance: random.Random, count: int) -> Iterator[bytes]:
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            chance.choice(DAMAGES)(data, others, chance)
        yield bytes(data)


def _cut(data: bytearray, _others: list[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _flip(data: bytearray, _others: list[bytes], chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 9) if data else 0):
        data[_near_the_beginning(data, chance)] ^= 1 << chance.randrange(8)


def _lie_about_a_size(data: bytearray, _others: list[bytes], chance: random.Random) -> None:
    size = chance.choice((1, 2, 4))
    at = _near_the_beginning(data, chance) if data else 0
    value = chance.choice((*EXTREMES, len(data), chance.getrandbits(32))) & ((1 << 8 * size) - 1)
    data[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))


def _repeat(data: bytearray, _others: list[bytes], chance: random.Random) -> None:
    begin = _near_the_beginning(data, chance) if data else 0
    part = data[begin : begin + chance.randrange(1, 200)]
    data[begin:begin] = part * chance.randrange(1, 200)


def _swap(data: bytearray, _others: list[bytes], chance: random.Random) -> None:
    middle = chance.randrange(len(data) + 1)
    data[:] = data[middle:] + data[:middle]


def _join_another(data: bytearray, others: list[bytes], chance: random.Random) -> None:
    data[chance.randrange(len(data) + 1) :] = chance.choice(others)


def _add_a_page(data: bytearray, _others: list[bytes], chance: random.Random) -> None:
    at = chance.choice((0, len(data)))
    data[at:at] = PAGE


def _near_the_beginning(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(min(len(data), chance.choice((16, 64, 600, len(data)))))


DAMAGES = (
    _cut,
    _flip,
    _flip,
    _lie_about_a_size,
    _lie_about_a_size,
    _repeat,
    _swap,
    _join_another,
    _add_a_page,
)


def nested() -> dict[str, bytes]:
    """Boxes and chunks nested deeper than any parser should follow."""
    boxes = b""
    for kind in [b"moov", b"trak", b"mdia", b"udta"] * 2500:
        boxes = struct.pack(">I4s", 8 + len(boxes), kind) + boxes
    element = b""
    for _ in range(5000):
        element = b"\x18\x53\x80\x67\x01" + len(element).to_bytes(7, "big") + element
    lists = b""
    for _ in range(5000):
        lists = b"LIST" + struct.pack("<I", 4 + len(lists)) + b"INFO" + lists
    webm = samples.file("tone.webm")
    return {
        "mp4": b"\0\0\0\x10ftypM4A \0\0\0\0" + boxes,
        "webm": webm[: webm.index(b"\x18\x53\x80\x67")] + element,
        "wav": b"RIFF" + struct.pack("<I", 4 + len(lists)) + b"WAVE" + lists,
    }


def picture_bombs() -> dict[str, bytes]:
    """Small files that decode to large images, long texts or many frames."""
    return {
        "png of a continent": _png((65535, 65535)),
        "png that lies about its size": _png((0x7FFF_FFFF, 0x7FFF_FFFF)),
        "png whose rows never end": _png((100, 100), zlib.compress(bytes(200_000_000), 9)),
        "png with a book": _png(
            (10, 10), extra=_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 9))
        ),
        "png with colours without end": _png(
            (10, 10), extra=_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(100_000_000), 9))
        ),
        "jpeg of a continent": samples.jpeg().replace(struct.pack(">HH", 48, 64), b"\xff\xff\xff\xff"),
        "gif of a continent": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + samples.gif()[13:],
        "webp of a continent": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff" * 6 + b"ANIM",
        "gif of many frames": _frames(2000),
    }


def _png(size: tuple[int, int], data: bytes = b"x\x9c\x03\0\0\0\0\x01", extra: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _frames(count: int) -> bytes:
    target = io.BytesIO()
    frames = [Image.new("P", (64, 64), number % 255) for number in range(count)]
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:], duration=10)
    return target.getvalue()
