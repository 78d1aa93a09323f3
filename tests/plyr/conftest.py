"""The service, a PDS and an artist as in tests/e2e, and `plyrfm` with the artist's token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.artist import Artist
from tests.e2e.conftest import artist, friend, new_artist, service, settings, standing_service  # noqa: F401 - fixtures
from tests.plyr.environment import install
from tests.plyr.rig import Plyrfm


@pytest.fixture(scope="session")
def installed() -> None:
    install()


@pytest.fixture
def plyrfm(installed: None, artist: Artist, tmp_path: Path) -> Iterator[Plyrfm]:  # noqa: ARG001, F811
    answer = artist.client.http.post("/auth/tokens", json={"name": "plyrfm"})
    clients = Plyrfm(str(artist.client.http.base_url), answer.json()["token"], tmp_path)
    yield clients
    clients.close()
