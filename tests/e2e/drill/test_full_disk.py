"""The disk of a service on SQLite fills up, and gets room again."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from demo.service import Service
from service.observability.expected import Expected
from tests.e2e.artist import Artist
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.writer import Writer
from tests.media_samples import samples
from tests.waits import until

pytestmark = [
    *DRILL,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk of 60 MiB, which can be filled"),
]


FILLED_AGAIN_SECONDS = 0.005
STANDSTILL_SECONDS = 2.0
"""Small edits go on for a while: they find room in what the database's files have already."""
STALLED = ("MastertapeRelayStalled",)
"""Where the relay had something to send when the room ended."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"root may not mount a disk here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607


@pytest.fixture
def settings(disk: Path) -> Mapping[str, str]:
    """The service keeps everything on that disk except its log."""
    return {"MASTERTAPE_DATA": str(disk)}


@contextmanager
def filled(hog: Path) -> Iterator[None]:
    """Take all the room there is, and at once what the service or doctor frees; give it back in the end."""
    fill(hog)
    ended = threading.Event()

    def fills_again() -> None:
        while not ended.wait(FILLED_AGAIN_SECONDS):
            fill(hog)

    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(fills_again)
        try:
            yield
        finally:
            ended.set()
        filling.result()
    hog.unlink()


def fill(hog: Path) -> None:
    with suppress(OSError), hog.open("ab", buffering=0) as file:
        while file.write(b"x" * 65536):
            pass


def is_refused(artist: Artist) -> bool:
    """Whether an edit that needs room is refused; one that is not, is there."""
    path = f"/tracks/{artist.track_id}"
    reply = artist.client.http.patch(path, json={"description": os.urandom(2000).hex()})
    return reply.status_code == httpx.codes.SERVICE_UNAVAILABLE


def none_is_acknowledged(writers: Sequence[Writer]) -> bool:
    return all(time.monotonic() - each.acknowledged_at >= STANDSTILL_SECONDS for each in writers)


def test_a_full_disk_refuses_edits_and_loses_none(service: Service, disk: Path, begin: Begin) -> None:
    drill = begin(service)
    artist = drill.writers[0].artist

    with filled(disk / "hog"):
        until(lambda: is_refused(artist) and none_is_acknowledged(drill.writers), within=120)
        upload = {"data": {"title": "Too much"}, "files": {"file": ("a.mp3", samples.mp3(9_999))}}
        assert artist.client.http.post("/tracks", **upload).status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert artist.gets().is_success
        drill.looks("while it is full", says=("request_failed",), passing=(Expected.FULL,), at_times=STALLED)

    drill.edits_are_acknowledged()
    drill.ends("full_disk", "A disk is full")
