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


def continents() -> dict[str, bytes]:
    """Small images that claim to be large."""
    return {
        "png of a continent": _png((65535, 65535)),
        "png that lies about its size": _png((0x7FFF_FFFF, 0x7FFF_FFFF)),
        "jpeg of a continent": samples.jpeg().replace(struct.pack(">HH", 48, 64), b"\xff\xff\xff\xff"),
        "gif of a continent": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + samples.gif()[13:],
        "webp of a continent": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xff" * 6 + b"ANIM",
    }


def picture_bombs() -> dict[str, bytes]:
    """Small files that decode to large images, long texts or many frames."""
    return {
        **continents(),
        "png whose rows never end": _png((100, 100), zlib.compress(bytes(200_000_000), 9)),
        "png with a book": _png(
            (10, 10), extra=_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 9))
        ),
        "png with colours without end": _png(
            (10, 10), extra=_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(100_000_000), 9))
        ),
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


def many_tags(count: int) -> dict[str, bytes]:
    """A file of each kind of audio with so many tags of one name, which a parser may compare with each other."""
    values = [b"%06d" % number for number in range(count)]
    frames = b"".join(b"TXXX" + struct.pack(">IH", 9, 0) + b"\0k\0" + value for value in values)
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    id3 = b"ID3\x03\0\0" + size + frames
    comments = struct.pack("<II", 0, count) + b"".join(b"\x08\0\0\0k=" + value for value in values)
    flac, wav = samples.file("tone.flac"), samples.tone(0.5)
    wav += b"id3 " + struct.pack("<I", len(id3)) + id3
    aiff = samples.file("tone.aiff") + b"ID3 " + struct.pack(">I", len(id3)) + id3
    return {
        "mp3": id3 + samples.file("bare.mp3"),
        "m4a": _m4a_of(values),
        "wav": wav[:4] + struct.pack("<I", len(wav) - 8) + wav[8:],
        "flac": flac[:42] + b"\x04" + len(comments).to_bytes(3, "big") + comments + flac[42:],
        "ogg": ogg_of(b"\x03vorbis" + comments),
        "aiff": aiff[:4] + struct.pack(">I", len(aiff) - 8) + aiff[8:],
        "webm": _webm_of(values),
    }


def ogg_of(packet: bytes) -> bytes:
    """A sound whose second packet is this one."""
    whole, pages = samples.file("tone.ogg"), list[bytes]()
    for number, start in enumerate(range(0, len(packet), 255 * 255), 1):
        part = packet[start : start + 255 * 255]
        lengths = b"\xff" * (len(part) // 255) + (bytes([len(part) % 255]) if len(part) % 255 else b"")
        header = b"OggS\0" + bytes([start > 0]) + b"\xff" * 8 + whole[14:18] + number.to_bytes(4, "little")
        pages.append(header + bytes(4) + bytes([len(lengths)]) + lengths + part)
    return whole[:58] + b"".join(pages) + whole[58:]


def _m4a_of(values: list[bytes]) -> bytes:
    mean, name = _box(b"mean", bytes(4) + b"com.apple.iTunes"), _box(b"name", bytes(4) + b"k")
    tags = (_box(b"----", mean + name + _box(b"data", struct.pack(">II", 1, 0) + value)) for value in values)
    udta = _box(b"udta", _box(b"meta", bytes(4) + _box(b"ilst", b"".join(tags))))
    whole = samples.file("tone.m4a")
    start = whole.index(b"moov") - 4
    end = start + int.from_bytes(whole[start : start + 4], "big")
    return whole[:start] + _box(b"moov", whole[start + 8 : end] + udta) + whole[end:]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _webm_of(values: list[bytes]) -> bytes:
    name = _element(b"\x45\xa3", b"k")
    each = (_element(b"\x67\xc8", name + _element(b"\x44\x87", value)) for value in values)
    tags = _element(b"\x12\x54\xc3\x67", _element(b"\x73\x73", b"".join(each)))
    whole = samples.file("tone.webm")
    segment, cluster = whole.index(b"\x18\x53\x80\x67"), whole.index(b"\x1f\x43\xb6\x75")
    content = whole[segment + 12 : cluster] + tags + whole[cluster:]
    return whole[:segment] + _element(b"\x18\x53\x80\x67", content)


def _element(kind: bytes, content: bytes) -> bytes:
    return kind + b"\x01" + len(content).to_bytes(7, "big") + content
