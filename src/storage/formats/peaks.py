"""Decodes an audio file block by block, for its waveform and its loudness."""

from array import array
from pathlib import Path
from typing import Any, Final

from storage.errors import InvalidMediaError

MAX_PEAKS: Final = 800
HIGHEST_PEAK: Final = 255
QUIET: Final = 10
"""What has a tenth of the mean power does not count for the loudness: a long end does not make a sound quieter."""
SILENCE: Final = 1e-12
MAX_SAMPLES: Final = 1_500_000_000
"""Of all channels: four and a half hours in stereo, about half a minute of CPU. Silence is a few bytes a second."""
TOO_LONG: Final = "it is too long for a waveform"
WINDOW_FRAMES: Final = 256
BLOCK_SAMPLES: Final = 65_536
"""Of all channels together, but at least a window of each."""


def read_peaks(path: Path) -> dict[str, Any]:
    """Return {"peaks": hex, "duration": seconds, "loudness": dB below full scale}; raises InvalidMediaError."""
    import numpy as np  # noqa: PLC0415 - few children need it: it takes longer to load than to read a file
    import soundfile  # noqa: PLC0415

    loudest, powers, frames = array("f"), array("d"), 0
    with soundfile.SoundFile(path) as sound:
        if sound.frames * sound.channels > MAX_SAMPLES:
            raise InvalidMediaError(TOO_LONG)
        block = WINDOW_FRAMES * max(1, BLOCK_SAMPLES // (WINDOW_FRAMES * sound.channels))
        while len(read := sound.read(block, dtype="float32", always_2d=True)):
            frames += len(read)
            if frames * sound.channels > MAX_SAMPLES:
                raise InvalidMediaError(TOO_LONG)
            read = np.nan_to_num(read, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
            starts = np.arange(0, len(read), WINDOW_FRAMES)
            loudest.extend(np.maximum.reduceat(np.abs(read).max(axis=1), starts))
            powers.extend(
                np.add.reduceat(np.square(read, dtype="float64").mean(axis=1), starts)
                / np.diff(starts, append=len(read))
            )
        seconds = frames / sound.samplerate
    if not frames:
        raise InvalidMediaError("it holds no sound")
    windows = np.frombuffer(loudest, dtype="float32")
    if len(windows) > MAX_PEAKS:
        windows = np.maximum.reduceat(windows, np.arange(MAX_PEAKS) * len(windows) // MAX_PEAKS)
    peaks = (np.minimum(windows, 1.0) * HIGHEST_PEAK).round().astype("uint8")
    heard = np.maximum(np.frombuffer(powers, dtype="float64"), SILENCE)
    heard = heard[heard > heard.mean() / QUIET]
    loudness = round(10 * float(np.log10(heard.mean())), 2)
    return {"peaks": peaks.tobytes().hex(), "duration": round(seconds, 3), "loudness": loudness}
