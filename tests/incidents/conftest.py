"""An artist at a real PDS behind a proxy, and alice and bob at the service in this process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.service import Service
from devpds.server import DevPds, DevPlc
from tests.api.conftest import alice, anyio_backend, bob, client, world  # noqa: F401 - fixtures
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.conftest import NewArtist, environment, new_artist, service  # noqa: F401
from tests.faults.proxy import FaultProxy
from tests.media_samples import samples
from tests.servers.atproto import new_account
from tests.servers.databases import KINDS

EVERYTHING = {
    "title": "First Take",
    "description": "Recorded in one go.",
    "album": "Pressings",
    "tags": '["demo"]',
    "self_labels": '["explicit"]',
}


@pytest.fixture(scope="session", params=KINDS if os.environ.get("TEST_DEEP") else KINDS[1:])
def settings(
    request: pytest.FixtureRequest, proxied_pds: DevPds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of the one service of all these tests."""
    with environment(request, tmp_path_factory.mktemp("service"), proxied_pds) as found:
        yield found


@pytest.fixture(scope="session")
def standing_service(settings: dict[str, str], proxied_pds: DevPds) -> Iterator[Service]:
    """The service, whatever the test before did to it."""
    standing = Service(Path(settings["MASTERTAPE_DATA"]), proxied_pds, env=settings)
    standing.start()
    yield standing
    standing.stop()


@pytest.fixture(scope="session")
def friend(proxied_pds: DevPds, plc: DevPlc) -> str:
    """The DID of an account to be featured."""
    return new_account(proxied_pds, plc).did


@pytest.fixture
def artist(new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy) -> Artist:  # noqa: ARG001, F811
    return new_artist(proxied_pds)


@pytest.fixture
def published(artist: Artist) -> Artist:
    artist.uploads()
    artist.agreed()
    return artist


@pytest.fixture
def full(artist: Artist) -> Artist:
    """An artist whose track has a value in every field, and its audio on the PDS."""
    artist.uploads(**EVERYTHING, features=f'["{artist.friend}"]')
    artist.client.set_artwork(artist.track_id, samples.png())
    assert artist.asks(MIGRATE).is_success
    artist.agreed()
    return artist
