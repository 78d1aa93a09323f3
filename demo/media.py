"""Audio and artwork made on the spot, so that the demo needs no files."""

import io
import math
import struct
import wave
from typing import Final

from PIL import Image, ImageDraw

RATE: Final = 22_050


def tone(hertz: float, seconds: float = 2.0) -> bytes:
    """A WAV of a fading tone."""
    frames = b"".join(
        struct.pack("<h", int(12_000 * math.exp(-2 * n / RATE) * math.sin(2 * math.pi * hertz * n / RATE)))
        for n in range(int(RATE * seconds))
    )
    data = io.BytesIO()
    with wave.open(data, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(RATE)
        audio.writeframes(frames)
    return data.getvalue()


def cover(color: str, other: str) -> bytes:
    """A PNG of a record on a plain ground."""
    image = Image.new("RGB", (640, 640), color)
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 80, 560, 560), fill="black")
    draw.ellipse((240, 240, 400, 400), fill=other)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()
