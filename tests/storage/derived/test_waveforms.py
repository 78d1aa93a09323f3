"""The decoder of waveforms: what it reads, and that it may hang, crash, flood or grow without harm."""

import io
import math
import os
import struct
import wave
from pathlib import Path

import pytest

from storage.derived import waveforms
from storage.derived.peaks import MAX_PEAKS
from storage.derived.waveforms import PROGRAM, DecoderFailedError, read_waveform
from storage.errors import InvalidMediaError
from tests.media_samples import samples

pytestmark = pytest.mark.anyio

RATE = 8000
LOOPS = {"uvloop": ("asyncio", {"use_uvloop": True}), "asyncio": ("asyncio", {"use_uvloop": False})}
"""`serve` runs on the first, `mastertape` commands on the second."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return LOOPS["uvloop"]


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


def written(folder: Path, data: bytes) -> Path:
    (path := folder / "sound.staged").write_bytes(data)
    return path


def program(folder: Path, text: str) -> Path:
    (path := folder / "program.py").write_text(text)
    return path


@pytest.mark.parametrize(
    ("anyio_backend", "channels"), [(LOOPS["uvloop"], 600), (LOOPS["asyncio"], 2)], ids=LOOPS
)
async def test_peaks_follow_the_loudest_channel(tmp_path: Path, channels: int) -> None:
    found = await read_waveform(written(tmp_path, loud_then_silent(channels)))
    half = len(found.peaks) // 2
    assert (set(found.peaks[: half - 1]), set(found.peaks[half + 1 :])) == ({255}, {0})
    assert found.duration == 2.0


def sine(level: float, *, silent_seconds: int = 0) -> bytes:
    """A second of a tone whose peaks are at this share of the full scale, and then silence."""
    values = (int(level * 32_767 * math.sin(2 * math.pi * 440 * each / RATE)) for each in range(RATE))
    return wav_of(b"".join(struct.pack("<h", value) for value in values) + b"\0\0" * RATE * silent_seconds)


async def test_loudness_is_that_of_what_is_heard(tmp_path: Path) -> None:
    full, half, with_an_end = [
        (await read_waveform(written(tmp_path, each))).loudness
        for each in (sine(1), sine(0.5), sine(0.5, silent_seconds=9))
    ]
    assert full == pytest.approx(-3.0, abs=0.1)
    assert half == pytest.approx(-9.0, abs=0.1)
    assert with_an_end == pytest.approx(half, abs=0.2)
    assert (await read_waveform(written(tmp_path, sine(0)))).loudness == -120.0


@pytest.mark.parametrize("name", ["tone.flac", "tone.ogg", "opus.ogg", "tone.mp3", "tone.aiff"])
async def test_every_kind_that_is_decoded_has_peaks(tmp_path: Path, name: str) -> None:
    found = await read_waveform(written(tmp_path, samples.file(name)))
    assert 0 < len(found.peaks) <= MAX_PEAKS
    assert 20 < max(found.peaks) < 50
    assert found.duration == pytest.approx(2, abs=0.2)


async def test_a_long_sound_has_no_more_peaks_than_a_page_needs(tmp_path: Path) -> None:
    found = await read_waveform(written(tmp_path, samples.tone(30)))
    assert (len(found.peaks), found.duration) == (MAX_PEAKS, 30.0)


@pytest.mark.parametrize("data", [b"no sound", samples.file("speex.ogg")])
async def test_what_cannot_be_decoded_is_invalid(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidMediaError):
        await read_waveform(written(tmp_path, data))


@pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize(
    "text",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import time; print('{', flush=True); time.sleep(600)",
        "import os; os.close(1); import time; time.sleep(600)",
        "while True: print('x' * 100_000)",
        "os.fork()\nwhile True: print('x' * 100_000)",
        "print('[]')",
        'print(\'{"peaks": "zz", "duration": 1}\')',
        'print(\'{"peaks": "", "duration": 1, "loudness": NaN}\')',
        "raise SystemExit(3)",
    ],
)
async def test_a_decoder_that_goes_wrong_fails_and_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(waveforms, "PEAKS_TIMEOUT_SECONDS", 1.0 if "sleep" in text else 60.0)
    started = f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    with pytest.raises(DecoderFailedError):
        await read_waveform(tmp_path, program(tmp_path, started + text))
    if (pid := tmp_path / "pid").exists():  # on a busy machine a second may not be enough to begin
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


async def test_the_decoder_limits_its_memory(tmp_path: Path) -> None:
    text = f"""
import runpy
limit = runpy.run_path({str(PROGRAM)!r}, run_name="peaks")["_limit"]
limit()
try:
    bytearray(2 << 30)
except MemoryError:
    print('{{"problem": "no memory"}}')
"""
    with pytest.raises(InvalidMediaError, match="no memory"):
        await read_waveform(tmp_path, program(tmp_path, text))


async def test_what_is_too_long_has_no_waveform_and_is_not_decoded(tmp_path: Path) -> None:
    limited = program(tmp_path, PROGRAM.read_text().replace("= 1_500_000_000", "= 32_000"))
    assert (await read_waveform(written(tmp_path, loud_then_silent(2)), limited)).duration == 2.0
    with pytest.raises(InvalidMediaError, match="too long for a waveform"):
        await read_waveform(written(tmp_path, loud_then_silent(3)), limited)


async def test_what_takes_too_long_to_decode_is_not_tried_again(tmp_path: Path) -> None:
    limits = (
        PROGRAM.read_text()
        .split("if __name__")[0]
        .replace("CPU_SECONDS: Final = 60", "CPU_SECONDS: Final = 1")
    )
    with pytest.raises(InvalidMediaError, match="too long to decode"):
        await read_waveform(tmp_path, program(tmp_path, limits + "_limit()\nwhile True: pass\n"))


async def test_the_decoder_gets_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTERTAPE_SECRET_KEYS", "secret")
    text = "import json, os; print(json.dumps({'problem': ' '.join(sorted(os.environ))}))"
    with pytest.raises(InvalidMediaError) as raised:
        await read_waveform(tmp_path, program(tmp_path, text))
    assert "MASTERTAPE" not in str(raised.value)
