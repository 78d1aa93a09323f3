"""Real media for tests: the same audio with different bytes for every seed, tones of any length, images."""

import io
import math
import random
import struct
import wave
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
RATE = 8000


def file(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def tone(seconds: float, *, hertz: float = 440.0) -> bytes:
    frames = bytes(
        int(128 + 100 * math.sin(2 * math.pi * hertz * at / RATE)) for at in range(int(seconds * RATE))
    )
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(RATE)
        sound.writeframes(frames)
    return target.getvalue()


def wav(seed: int = 0) -> bytes:
    """Two seconds at a pitch that depends on the seed."""
    return tone(2, hertz=440 + seed)


def floats(value: float) -> bytes:
    """Two seconds of WAV whose samples are floating-point numbers, all the same."""
    data = struct.pack("<f", value) * (2 * RATE)
    encoding = struct.pack("<HHIIHH", 3, 1, RATE, RATE * 4, 4, 32)
    chunks = b"WAVEfmt " + struct.pack("<I", len(encoding)) + encoding + b"data"
    chunks += struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def mp3(seed: int = 0) -> bytes:
    """Two seconds with the seed in an ID3 tag."""
    text = b"\0seed\0" + str(seed).encode()
    frame = b"TXXX" + len(text).to_bytes(4, "big") + b"\0\0" + text
    return b"ID3\x03\0\0" + len(frame).to_bytes(4, "big") + frame + file("bare.mp3")


def m4a(seed: int = 0) -> bytes:
    """Two seconds with the seed in a free box behind them."""
    return file("tone.m4a") + struct.pack(">I4sQ", 16, b"free", seed)


def flac(seed: int = 0) -> bytes:
    """Two seconds with the seed in an application block behind STREAMINFO."""
    data = file("tone.flac")
    block = b"\x02" + (12).to_bytes(3, "big") + b"seed" + struct.pack(">Q", seed)
    return data[:42] + block + data[42:]


def ogg(seed: int = 0) -> bytes:
    """Two seconds of Vorbis with the seed as the stream's serial number."""
    return _with_serial(file("tone.ogg"), seed)


def webm(seed: int = 0) -> bytes:
    """Two seconds of Opus with the seed in a void element behind them."""
    return file("tone.webm") + b"\xec\x88" + struct.pack(">Q", seed)


def jpeg(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    return image("JPEG", width, height, color)


def png(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    return image("PNG", width, height, color)


def webp(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    return image("WEBP", width, height, color)


def gif(width: int = 64, height: int = 48, color: str = "teal") -> bytes:
    """A picture of one colour and a second frame of another."""
    target = io.BytesIO()
    frames = [Image.new("RGB", (width, height), name) for name in (color, "black")]
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return target.getvalue()


def image(kind: str, width: int, height: int, color: str = "teal", mode: str = "RGB") -> bytes:
    target = io.BytesIO()
    Image.new(mode, (width, height), color).save(target, kind)
    return target.getvalue()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that are no media."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same bytes every time


def _with_serial(data: bytes, serial: int) -> bytes:
    pages, at = bytearray(), 0
    while at < len(data):
        count = data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        page = bytearray(data[at:end])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)
        page[22:26] = _ogg_checksum(page).to_bytes(4, "little")
        pages += page
        at = end
    return bytes(pages)


def _ogg_checksum(page: bytes | bytearray) -> int:
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value
