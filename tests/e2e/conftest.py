"""`mastertape serve` as a process on each database, shared by all tests here."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devpds.server import DevPds, DevPlc
from tests.e2e.accounts_at_a_failing_pds import Cast
from tests.e2e.artist import Artist
from tests.e2e.oauth_visitor import OAuthArtist
from tests.faults.proxy import FaultProxy
from tests.servers.atproto import PdsAccount, new_account
from tests.servers.citus import cluster_database
from tests.servers.databases import AND_CITUS, KINDS, temporary_database
from tests.servers.preloaded import Service

NewArtist = Callable[..., Artist]
DEEP = bool(os.environ.get("TEST_DEEP"))
ONE_DATABASE = pytest.mark.parametrize(
    "settings", [*(KINDS if DEEP else KINDS[:1]), *AND_CITUS], indirect=True, scope="session"
)
"""For what a PDS or a signal decides and no database: its statements run on both in tests/outbox. TEST_DEEP: on both."""


@contextmanager
def environment(request: pytest.FixtureRequest, data: Path, *pdses: DevPds) -> Iterator[dict[str, str]]:
    """The environment of a service with a database of its own, of the kind that `request` names, that knows these PDSes."""
    found = {
        "MASTERTAPE_DATA": str(data),
        "MASTERTAPE_DEV_ORIGINS": ",".join(pds.url for pds in pdses),
        "MASTERTAPE_RATE_LIMITS": "off",
        "MASTERTAPE_LEASE_SECONDS": "10",
    }
    with ExitStack() as stack:
        if request.param == "postgres":
            server, template = map(request.getfixturevalue, ("postgres_url", "postgres_template"))
            found["MASTERTAPE_DATABASE_URL"] = stack.enter_context(temporary_database(server, template))
        if request.param == "citus":
            nodes, template = map(request.getfixturevalue, ("citus_nodes", "citus_template"))
            found["MASTERTAPE_DATABASE_URL"] = stack.enter_context(cluster_database(nodes, template))
        yield found


@pytest.fixture(scope="session", params=[*KINDS, *AND_CITUS])
def settings(
    request: pytest.FixtureRequest, pds: DevPds, proxied_pds: DevPds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    with environment(request, tmp_path_factory.mktemp("service"), pds, proxied_pds) as found:
        yield found


@pytest.fixture(scope="session")
def standing_service(settings: dict[str, str], pds: DevPds) -> Iterator[Service]:
    service = Service(Path(settings["MASTERTAPE_DATA"]), pds, env=settings)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def service(standing_service: Service) -> Service:
    standing_service.start()
    return standing_service


@pytest.fixture(scope="session")
def friend(pds: DevPds, plc: DevPlc) -> str:
    return new_account(pds, plc).did


@pytest.fixture
def new_artist(service: Service, plc: DevPlc, friend: str) -> Iterator[NewArtist]:
    """Make an artist for this test alone, with a new account on the given PDS."""
    made: list[Artist] = []

    def make(pds: DevPds) -> Artist:
        made.append(Artist(service, pds, new_account(pds, plc), friend))
        return made[-1]

    yield make
    for artist in made:
        artist.client.http.close()


@pytest.fixture
def artist(new_artist: NewArtist, pds: DevPds) -> Artist:
    return new_artist(pds)


@pytest.fixture
def oauth_artist(service: Service, pds: DevPds, pds_account: PdsAccount) -> Iterator[Any]:
    """An artist who has signed in with OAuth, in a browser."""
    made = OAuthArtist(service, pds, pds_account)
    made.client.signs_in(pds_account)
    yield made
    made.client.http.close()


@pytest.fixture(scope="session")
def casts() -> Iterator[list[Cast]]:
    made: list[Cast] = []
    yield made
    for cast in made:
        cast.hangs_up()


@pytest.fixture
def cast(casts: list[Cast], service: Service, proxied_pds: DevPds, pds: DevPds, proxy: FaultProxy) -> Cast:
    """The cast of the test before, in agreement; another one after a test that failed."""
    if not casts or not casts[-1].agrees or casts[-1].service is not service:
        casts.append(Cast(service, proxied_pds, pds, proxy))
    cast = casts[-1]
    cast.agrees = False
    cast.takes("tracks")
    return cast
