"""The disk of a service on SQLite fills up, and gets room again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.artist import Artist
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.eventually import eventually
from tests.media_samples import samples

pytestmark = [
    *DRILL,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk of 60 MiB, which can be filled"),
]


WHAT_WAS_AT_WORK = (
    "turn_failed",
    "lane_not_given_back",
    "newest_position_not_kept",
    "running_request_not_ended",
)
"""When the room ended."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"root may not mount a disk here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607


@pytest.fixture
def service(disk: Path, pds: DevPds, tmp_path: Path) -> Iterator[Service]:
    """With all it keeps on that disk; its log is elsewhere."""
    made = Service(tmp_path / "service", pds, env={"MASTERTAPE_DATA": str(disk)})
    yield made
    made.stop()


def fill(file: Path) -> None:
    """Take all the room there is."""
    with suppress(OSError), file.open("wb", buffering=0) as hog:
        while hog.write(b"x" * 65536):
            pass


def is_refused(artist: Artist) -> bool:
    """Whether an edit that needs room is refused; one that is not, is there."""
    path = f"/tracks/{artist.track_id}"
    reply = artist.client.http.patch(path, json={"description": os.urandom(2000).hex()})
    return reply.status_code == httpx.codes.SERVICE_UNAVAILABLE


def test_a_full_disk_refuses_edits_and_loses_none(service: Service, disk: Path, begin: Begin) -> None:
    drill = begin(service)
    artist = drill.writers[0].artist

    fill(disk / "hog")
    eventually(lambda: is_refused(artist), seconds=60)
    upload = {"data": {"title": "Too much"}, "files": {"file": ("a.mp3", samples.mp3(9_999))}}
    assert artist.client.http.post("/tracks", **upload).status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert artist.gets().is_success
    drill.looks("while it is full", says=("request_failed",), at_times=WHAT_WAS_AT_WORK)
    (disk / "hog").unlink()

    drill.edits_are_acknowledged()
    drill.ends("full_disk", "A disk is full")
