"""Archives as other programs read them, those too large for 16 and 32 bits with files that are not there."""

import io
import shutil
import subprocess
import zipfile
import zlib
from datetime import UTC, datetime
from itertools import count
from struct import unpack

import pytest

from storage.archive import Entry, parts_of, within
from storage.cid import cid_of

WHEN = datetime(2026, 11, 30, 18, 31, 8, tzinfo=UTC)
GIGABYTE = 2**30


class Virtual(io.RawIOBase):
    """An archive whose files are zeros, made where it is read."""

    def __init__(self, parts):
        self.parts, self.at = parts, 0
        self.size = sum(map(len, parts))

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer):
        end = min(self.at + len(buffer), self.size)
        data = b"".join(
            part[first:last] if isinstance(part, bytes) else bytes(last - first)
            for part, first, last in within(self.parts, self.at, end)
        )
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def virtual(*sizes):
    checksums = [zlib.crc32(bytes(size)) if size < GIGABYTE else 0 for size in sizes]
    facts = zip(count(), sizes, checksums, strict=False)
    entries = [Entry(f"{number}.wav", size, checksum, "") for number, size, checksum in facts]
    return zipfile.ZipFile(io.BufferedReader(Virtual(parts_of(entries, WHEN))))


@pytest.fixture
def files():
    return {"Söng/01 A.mp3": b"sound" * 1000, "Söng/empty.txt": b"", "last": b"x"}


@pytest.fixture
def parts(files):
    entries = [Entry(name, len(data), zlib.crc32(data), cid_of(data)) for name, data in files.items()]
    return parts_of(entries, WHEN)


@pytest.fixture
def whole(files, parts):
    return b"".join(bytes_of(part, files) for part in parts)


def bytes_of(part, files):
    return files[part.name] if isinstance(part, Entry) else part


def test_python_reads_names_bytes_and_times(files, whole):
    archive = zipfile.ZipFile(io.BytesIO(whole))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == files
    assert {info.date_time for info in archive.infolist()} == {(2026, 11, 30, 18, 31, 8)}
    assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_finds_no_error(tmp_path, whole):
    (tmp_path / "made.zip").write_bytes(whole)
    tested = subprocess.run(["unzip", "-t", "made.zip"], cwd=tmp_path, capture_output=True, check=False)  # noqa: S607
    assert (tested.returncode, tested.stderr) == (0, b"")
    assert b"No errors detected" in tested.stdout


@pytest.mark.parametrize(
    "sizes",
    [
        (4 * GIGABYTE - 2, 1),
        (4 * GIGABYTE - 1, 1),
        (3 * GIGABYTE, 3 * GIGABYTE, 1),
        (100, 5 * GIGABYTE),
    ],
)
def test_files_and_places_beyond_32_bits_are_found(sizes):
    archive = virtual(*sizes)
    assert [info.file_size for info in archive.infolist()] == list(sizes)
    for info in archive.infolist():
        with archive.open(info) as file:
            assert file.read(10) == bytes(min(10, info.file_size))


@pytest.mark.parametrize(("files_count", "is_large"), [(65_534, False), (65_535, True)])
def test_more_files_than_16_bits_count_are_counted_in_64(files_count, is_large):
    """Python looks for all files, whatever their number is said to be; other programs do not."""
    end = parts_of([Entry("", 0, 0, "")] * files_count, WHEN)[-1][-98:]
    assert unpack("<H", end[-12:-10]) == (files_count,)
    assert end.startswith(b"PK\6\6") is is_large
    assert not is_large or unpack("<Q", end[32:40]) == (files_count,)


def test_every_range_is_what_the_whole_has_there(files, parts, whole):
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + len(part))
    places = sorted({place + by for place in ends for by in (-1, 0, 1) if 0 <= place + by <= len(whole)})
    for start in places:
        for end in (each for each in places if each >= start):
            made = (bytes_of(part, files)[first:last] for part, first, last in within(parts, start, end))
            assert b"".join(made) == whole[start:end]
