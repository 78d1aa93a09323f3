"""The service in this process, with its pages."""

import pytest

from tests.api.conftest import alice, anyio_backend, bob, client, world

__all__ = ["alice", "anyio_backend", "bob", "client", "world"]


@pytest.fixture
def migrated_url(migrated_sqlite):
    """What matters here is HTTP: one database will do."""
    return migrated_sqlite


@pytest.fixture
def browser(client):
    """Asks as a browser that nobody is signed in with."""
    client.headers["Accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"
    return client


@pytest.fixture
def sign_in(browser):
    """Seat a person in the browser."""

    def seat(person):
        browser.cookies.set("mastertape_session", person.token)
        return browser

    return seat
