"""With S3_PUBLIC_URL: `serve` and `relay`, a real PDS, and a real S3 API."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpds.server import DevPds
from tests.e2e.artist import UNDELETE, Artist
from tests.servers.preloaded import Service
from tests.servers.s3 import S3Endpoint
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.s3]
CDN = "https://cdn.example"
AT_ONCE = 30
"""Sooner than the review that finds what a crash has lost."""


@pytest.fixture
def service(
    tmp_path: Path, pds: DevPds, migrated_postgres: str, s3_endpoint: S3Endpoint, s3_bucket: str
) -> Iterator[Service]:
    env = {
        "MASTERTAPE_DATABASE_URL": migrated_postgres,
        "MASTERTAPE_MEDIA": f"s3:{s3_bucket}",
        "MASTERTAPE_S3_ENDPOINT": s3_endpoint.url,
        "MASTERTAPE_S3_PUBLIC_URL": CDN,
    }
    made = Service(tmp_path / "data", pds, env=env)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def is_public(s3_endpoint: S3Endpoint, s3_bucket: str) -> Callable[[str], bool]:
    client = s3_endpoint.client()

    def listed(name: str) -> bool:
        found = client.list_objects_v2(Bucket=s3_bucket, Prefix="public/")
        return f"public/{name}" in {entry["Key"] for entry in found.get("Contents", ())}

    return listed


def audio_url(artist: Artist) -> str:
    record = artist.agreed()
    assert record is not None
    return str(record["audioUrl"])


def test_the_record_names_a_copy_that_is_there_and_a_gated_one_has_none(
    service: Service, artist: Artist, is_public: Callable[[str], bool]
) -> None:
    track = artist.uploads()
    name = f"{track['file_id']}.{track['file_type']}"
    public, gated = f"{CDN}/public/{name}", f"{service.url}/audio/{name}"
    assert is_public(name)
    assert audio_url(artist) == public == track["audio_url"]

    assert artist.edits(support_gate={"type": "any"})["audio_url"] == gated
    until(lambda: not is_public(name), within=AT_ONCE)
    assert audio_url(artist) == gated

    assert artist.edits(support_gate=None)["audio_url"] == public
    assert is_public(name)
    assert audio_url(artist) == public

    artist.client.delete(artist.track_id)
    until(lambda: not is_public(name), within=AT_ONCE)
    assert artist.agreed() is None

    artist.asks(UNDELETE).raise_for_status()
    assert is_public(name)
    assert audio_url(artist) == public
