"""A program of its own: decodes one audio file, which may be hostile, and prints its peaks as JSON.

It limits its memory and time before it loads a decoder, and reads the file block by block. The service never imports it.
"""

import json
import os
import resource
import signal
import sys
from array import array
from typing import Any, Final

MAX_PEAKS: Final = 800
HIGHEST_PEAK: Final = 255
QUIET: Final = 10
"""What has a tenth of the mean power does not count for the loudness: a long end does not make a sound quieter."""
SILENCE: Final = 1e-12
MEMORY_BYTES: Final = 1024 * 1024 * 1024
MAX_SAMPLES: Final = 1_500_000_000
"""Of all channels: four and a half hours in stereo, about half a minute of CPU. Silence is a few bytes a second."""
CPU_SECONDS: Final = 60
WALL_SECONDS: Final = 300
MAX_OPEN_FILES: Final = 64
TOO_LONG: Final = "it is too long for a waveform"
WINDOW_FRAMES: Final = 256
BLOCK_SAMPLES: Final = 65_536
"""Of all channels together, but at least a window of each."""


def main(path: str) -> None:
    """Print {"peaks": hex, "duration": seconds, "loudness": dB below full scale} or {"problem": text}."""
    _limit()
    try:
        found = _read(path)
    except Exception as error:  # noqa: BLE001 - a hostile file may make a decoder raise anything
        found = {"problem": f"{type(error).__name__}: {error}"[:500]}
    print(json.dumps(found))  # noqa: T201 - the answer


def _limit() -> None:
    """Set limits that only end this process; the alarm does even where its parent was killed."""
    os.nice(10)
    signal.alarm(WALL_SECONDS)
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))  # SIGXCPU says why it ended


def _read(path: str) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415 - under the limits
    import soundfile  # noqa: PLC0415

    loudest, powers, frames = array("f"), array("d"), 0
    with soundfile.SoundFile(path) as sound:
        if sound.frames * sound.channels > MAX_SAMPLES:
            return {"problem": TOO_LONG}
        block = WINDOW_FRAMES * max(1, BLOCK_SAMPLES // (WINDOW_FRAMES * sound.channels))
        while len(read := sound.read(block, dtype="float32", always_2d=True)):
            frames += len(read)
            if frames * sound.channels > MAX_SAMPLES:
                return {"problem": TOO_LONG}
            read = np.nan_to_num(read, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
            starts = np.arange(0, len(read), WINDOW_FRAMES)
            loudest.extend(np.maximum.reduceat(np.abs(read).max(axis=1), starts))
            powers.extend(
                np.add.reduceat(np.square(read, dtype="float64").mean(axis=1), starts)
                / np.diff(starts, append=len(read))
            )
        seconds = frames / sound.samplerate
    if not frames:
        return {"problem": "it holds no sound"}
    windows = np.frombuffer(loudest, dtype="float32")
    if len(windows) > MAX_PEAKS:
        windows = np.maximum.reduceat(windows, np.arange(MAX_PEAKS) * len(windows) // MAX_PEAKS)
    peaks = (np.minimum(windows, 1.0) * HIGHEST_PEAK).round().astype("uint8")
    heard = np.maximum(np.frombuffer(powers, dtype="float64"), SILENCE)
    heard = heard[heard > heard.mean() / QUIET]
    loudness = round(10 * float(np.log10(heard.mean())), 2)
    return {"peaks": peaks.tobytes().hex(), "duration": round(seconds, 3), "loudness": loudness}


if __name__ == "__main__":
    main(sys.argv[1])
