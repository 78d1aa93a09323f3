import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregates.values import Audio
from storage.cid import cid_of
from storage.errors import InvalidMediaError, UnsupportedMediaError
from storage.parsers import MIME, Parsers
from storage.uploads.upload import staged_copy
from tests.media_samples import samples


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Audio]:
    def read(data: bytes) -> Audio:
        with staged_copy([data], tmp_path, 2**31) as staged:
            return asyncio.run(Parsers().audio(staged))

    return read


Read = Callable[[bytes], Audio]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tone.mp3", "mp3"),
        ("bare.mp3", "mp3"),
        ("variable.mp3", "mp3"),
        ("tone.m4a", "m4a"),
        ("lossless.m4a", "m4a"),
        ("tone.flac", "flac"),
        ("tone.ogg", "ogg"),
        ("opus.ogg", "ogg"),
        ("flac.ogg", "ogg"),
        ("tone.aiff", "aiff"),
        ("little_endian.aiff", "aiff"),
        ("tone.webm", "webm"),
    ],
)
def test_every_accepted_kind_is_known_with_its_duration(read: Read, name: str, kind: str) -> None:
    data = samples.file(name)
    assert read(data) == Audio(cid_of(data), len(data), MIME[kind], kind, 2)


def test_a_webm_file_that_does_not_say_how_long_it_is_has_no_duration(read: Read) -> None:
    audio = read(samples.file("live.webm"))
    assert (audio.file_type, audio.duration) == ("webm", None)


@pytest.mark.parametrize("seconds", [0.4, 2.6])
def test_a_wav_file_has_whole_seconds(read: Read, seconds: float) -> None:
    audio = read(samples.tone(seconds))
    assert (audio.file_type, audio.duration) == ("wav", round(seconds))


def test_an_ogg_file_that_others_were_appended_to_is_as_long_as_the_last(read: Read) -> None:
    other = samples.ogg(7)
    assert read(samples.ogg(0) + other * (140_000 // len(other) + 1)).duration == 2


def test_flac_behind_an_id3_tag_is_flac(read: Read) -> None:
    tag = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    assert read(tag + samples.flac()).file_type == "flac"


def test_an_mp3_recording_may_begin_inside_a_frame(read: Read) -> None:
    assert read(samples.file("bare.mp3")[37:]).file_type == "mp3"


def test_an_mp3_may_have_padding_behind_its_tag(read: Read) -> None:
    assert read(b"ID3\x03\0\0\0\0\0\x0a" + bytes(5000) + samples.file("bare.mp3")).duration == 2


def test_a_cut_wav_file_is_as_long_as_what_is_left_of_it(read: Read) -> None:
    assert read(samples.tone(9)[: 44 + 4 * samples.RATE]).duration == 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("video.mp4", "it has a video track"),
        ("video.webm", "it has a video track"),
        ("video.ogg", "it has a video track"),
        ("fragmented.m4a", "its duration cannot be read"),
    ],
)
def test_what_is_not_just_sound_is_invalid(read: Read, name: str, reason: str) -> None:
    with pytest.raises(InvalidMediaError, match=f": {reason}$"):
        read(samples.file(name))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (samples.file("layer2.mp2"), "MPEG layer II"),
        (samples.file("raw.aac"), "raw AAC"),
        (samples.file("windows.wma"), "Windows Media"),
        (samples.file("tone.mka"), "Matroska"),
        (samples.file("ac3.m4a"), "'ac-3' in MP4"),
        (samples.file("speex.ogg"), "another codec than Vorbis, Opus or FLAC in Ogg"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "AVI"),
        (b"RF64\xff\xff\xff\xffWAVE" + bytes(100), "RF64"),
    ],
)
def test_sound_of_other_kinds_is_unsupported(read: Read, data: bytes, kind: str) -> None:
    with pytest.raises(UnsupportedMediaError, match=re.escape(kind)):
        read(data)
