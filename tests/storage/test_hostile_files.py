"""Malicious files: each is refused in bounded time and memory."""

import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from storage.errors import InvalidMediaError
from storage.formats import bounded
from storage.formats.audio import read_audio
from storage.uploads.upload import Staged, staged_copy
from tests.media_samples import hostile, samples

HTML = b"<!doctype html><html><script>alert(1)</script></html>"
FRAMES = samples.file("bare.mp3")
MP4 = samples.file("tone.m4a")
OGG = samples.file("tone.ogg")
FLAC = samples.file("tone.flac")
WEBM = samples.file("tone.webm")


INVALID = {
    "nothing": b"",
    "one byte": b"\xff",
    "html": HTML,
    "html in utf-16": HTML.decode().encode("utf-16"),
    "zeros": bytes(10_000),
    "noise": samples.noise(100_000),
    "jpeg": samples.jpeg(),
    "page with sound behind": HTML + FRAMES,
    "picture with sound behind": samples.jpeg() + FRAMES,
    "one frame of mp3": FRAMES[:104],
    "id3 tag alone": b"ID3\x03\0\0\0\0\0\x0a" + bytes(10),
    "id3 tag longer than the file": b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + FRAMES,
    "id3 tag and html": b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + HTML,
    "riff header alone": b"RIFF\x24\0\0\0WAVE",
    "wav without data": samples.wav()[:36],
    "wav with no rate": samples.wav()[:24] + bytes(4) + samples.wav()[28:],
    "wav that claims hours": samples.wav()[:40] + b"\xff\xff\xff\x7f",
    "flac magic alone": b"fLaC",
    "flac headers alone": FLAC[:86],
    "flac headers and html": FLAC[:42].replace(b"fLaC\0", b"fLaC\x80") + HTML,
    "ogg magic alone": b"OggS",
    "ogg headers alone": OGG[:58],
    "ftyp alone": b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42",
    "mp4 without sound bytes": MP4[: MP4.index(b"mdat") - 4],
    "mp4 without moov": MP4.replace(b"moov", b"free"),
    "mp4 without handler": MP4.replace(b"hdlr", b"free"),
    "mp4 of subtitles": MP4.replace(b"soun", b"text"),
    "mp4 box that ends before it begins": MP4[:4] + b"ftypM4A \0\0\0\0" + struct.pack(">I4s", 3, b"moov"),
    "mp4 that claims years": MP4.replace(
        MP4[MP4.index(b"mvhd") + 16 : MP4.index(b"mvhd") + 24], struct.pack(">II", 1, 2**31)
    ),
    "aiff header alone": b"FORM\0\0\0\x04AIFF",
    "aiff that claims years": b"FORM\0\0\0\x1eAIFFCOMM\0\0\0\x12\0\x01\xff\xff\xff\xff\0\x08\x3f\xff\x80"
    + bytes(7),
    "ebml magic alone": b"\x1aE\xdf\xa3",
    "ebml of another type": WEBM.replace(b"webm", b"wubm"),
    "webm without tracks": WEBM.replace(b"\x16\x54\xae\x6b", b"\x11\x4d\x9b\x74"),
    "webm without sound bytes": WEBM[: WEBM.index(b"\x1f\x43\xb6\x75")],
    "webm that claims for ever": WEBM.replace(
        WEBM[WEBM.index(b"\x44\x89\x88") + 3 :][:8], struct.pack(">d", float("inf"))
    ),
    "webm that lasts no number": WEBM.replace(
        WEBM[WEBM.index(b"\x44\x89\x88") + 3 :][:8], struct.pack(">d", float("nan"))
    ),
}


def staged(data: bytes, folder: Path) -> Staged:
    return staged_copy([data], folder, 2**31)


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID.keys())
def test_a_file_with_a_false_header_is_invalid(data: bytes, tmp_path: Path) -> None:
    with staged(data, tmp_path) as upload, pytest.raises(InvalidMediaError):
        read_audio(upload)


def test_an_ogg_file_of_many_comments_costs_little(tmp_path: Path) -> None:
    comments = b"".join(
        len(each := b"k=%06d" % number).to_bytes(4, "little") + each for number in range(8000)
    )
    packet = b"\x03vorbis" + bytes(4) + (8000).to_bytes(4, "little") + comments
    with staged(hostile.ogg_of(packet), tmp_path) as upload:

        def seconds() -> float:
            began = time.process_time()
            assert read_audio(upload) == ("ogg", 2)
            return time.process_time() - began

        assert any(seconds() < 0.1 for _ in range(5))


LARGE = 300 * 2**20
GREEDY = {
    "mp3 of two frames and garbage": FRAMES[:300],
    "wav with an endless format": b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\x7f",
    "wav of empty chunks": b"RIFF\xff\xff\xff\xffWAVE",
    "flac with endless comments": FLAC[:42] + b"\x84\xff\xff\xff\0\0\0\0\xff\xff\xff\xff",
    "mp4 of many boxes": b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" * 20_000,
    "webm of many parts": WEBM[: WEBM.index(b"\x18\x53\x80\x67")]
    + b"\x18\x53\x80\x67\x01"
    + b"\xff" * 7
    + b"\xec\x80" * 20_000,
    "webm with an endless name": WEBM[:5] + b"\x42\x82\x08\xff\xff\xff\xff\xff",
}


@pytest.mark.parametrize("head", GREEDY.values(), ids=GREEDY.keys())
def test_a_file_that_makes_the_parser_loop_is_refused_in_bounded_time_and_memory(
    head: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "MAX_READS", bounded.MAX_READS // 10)  # the bound is what counts here
    path = tmp_path / "greedy"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(LARGE)  # a hole costs no disk
    upload = Staged(path, "bafkrei", LARGE)
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(InvalidMediaError):
        read_audio(upload)
    spent = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * bounded.MAX_BYTES
    assert spent < 30


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(6 if os.environ.get("TEST_DEEP") else 1))
def test_damaged_samples_of_every_kind_are_taken_or_refused_in_little_memory(seed: int) -> None:
    """In a separate process, since decoders allocate memory that Python does not trace."""
    count = 300 if os.environ.get("TEST_DEEP") else 15
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.hostile_worker", str(count), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["tried"] > count * 28
    assert 0 < said["taken"] < said["tried"]
    assert said["peak"] < 256 * 2**20
    assert said["slowest"][0] < 10
