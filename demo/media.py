"""Generates audio and artwork."""

import io
import math
import struct
import wave
from typing import Final

from PIL import Image, ImageDraw

SAMPLE_RATE_HZ: Final = 22_050


def tone(hertz: float, seconds: float = 2.0) -> bytes:
    """Return a WAV file with a tone that is struck each second and fades."""
    frames = b"".join(
        struct.pack(
            "<h",
            int(
                12_000
                * math.exp(-2 * (n % SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
                * math.sin(2 * math.pi * hertz * n / SAMPLE_RATE_HZ)
            ),
        )
        for n in range(int(SAMPLE_RATE_HZ * seconds))
    )
    data = io.BytesIO()
    with wave.open(data, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(SAMPLE_RATE_HZ)
        audio.writeframes(frames)
    return data.getvalue()


def cover(color: str, other: str) -> bytes:
    """Return a PNG file that shows a record."""
    image = Image.new("RGB", (640, 640), color)
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 80, 560, 560), fill="black")
    draw.ellipse((240, 240, 400, 400), fill=other)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()
