"""The decoder of waveforms, in the child process in which it runs."""

import io
import math
import struct
import wave
from pathlib import Path

import pytest

from storage.errors import InvalidMediaError
from storage.formats import peaks
from storage.formats.peaks import MAX_PEAKS
from storage.parsers import Parsers
from storage.uploads.upload import Staged, staged_copy
from tests.media_samples import samples

pytestmark = pytest.mark.anyio

RATE = 8000


def loud_then_silent(channels: int) -> bytes:
    """Two seconds: full level in the last channel, then nothing."""
    silent, loud = b"\0\0" * channels, b"\0\0" * (channels - 1) + b"\xff\x7f"
    return wav_of(loud * RATE + silent * RATE, channels)


def wav_of(frames: bytes, channels: int = 1) -> bytes:
    """Return a sound of 16 bits."""
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setparams((channels, 2, RATE, 0, "NONE", "not compressed"))
        sound.writeframes(frames)
    return target.getvalue()


def written(folder: Path, data: bytes) -> Staged:
    return staged_copy([data], folder, 2**31)


@pytest.mark.parametrize("channels", [600, 2])
async def test_peaks_follow_the_loudest_channel(tmp_path: Path, channels: int) -> None:
    found = await Parsers().waveform(written(tmp_path, loud_then_silent(channels)))
    half = len(found.peaks) // 2
    assert (set(found.peaks[: half - 1]), set(found.peaks[half + 1 :])) == ({255}, {0})
    assert found.duration == 2.0


def sine(level: float, *, silent_seconds: int = 0) -> bytes:
    """A second of a tone whose peaks are at this share of the full scale, and then silence."""
    values = (int(level * 32_767 * math.sin(2 * math.pi * 440 * each / RATE)) for each in range(RATE))
    return wav_of(b"".join(struct.pack("<h", value) for value in values) + b"\0\0" * RATE * silent_seconds)


async def test_loudness_is_that_of_what_is_heard(tmp_path: Path) -> None:
    full, half, with_an_end = [
        (await Parsers().waveform(written(tmp_path, each))).loudness
        for each in (sine(1), sine(0.5), sine(0.5, silent_seconds=9))
    ]
    assert full == pytest.approx(-3.0, abs=0.1)
    assert half == pytest.approx(-9.0, abs=0.1)
    assert with_an_end == pytest.approx(half, abs=0.2)
    assert (await Parsers().waveform(written(tmp_path, sine(0)))).loudness == -120.0


@pytest.mark.parametrize("name", ["tone.flac", "tone.ogg", "opus.ogg", "tone.mp3", "tone.aiff"])
async def test_every_kind_that_is_decoded_has_peaks(tmp_path: Path, name: str) -> None:
    found = await Parsers().waveform(written(tmp_path, samples.file(name)))
    assert 0 < len(found.peaks) <= MAX_PEAKS
    assert 20 < max(found.peaks) < 50
    assert found.duration == pytest.approx(2, abs=0.2)


async def test_a_long_sound_has_no_more_peaks_than_a_page_needs(tmp_path: Path) -> None:
    found = await Parsers().waveform(written(tmp_path, samples.tone(30)))
    assert (len(found.peaks), found.duration) == (MAX_PEAKS, 30.0)


@pytest.mark.parametrize("data", [b"no sound", samples.file("speex.ogg")])
async def test_what_cannot_be_decoded_is_invalid(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidMediaError):
        await Parsers().waveform(written(tmp_path, data))


async def test_what_is_too_long_has_no_waveform_and_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, "MAX_SAMPLES", 32_000)
    assert peaks.read_peaks(written(tmp_path, loud_then_silent(2)).path)["duration"] == 2.0
    with pytest.raises(InvalidMediaError, match="too long for a waveform"):
        peaks.read_peaks(written(tmp_path, loud_then_silent(3)).path)
