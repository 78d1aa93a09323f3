"""The service in this process, with its pages."""

from datetime import timedelta

import pytest

from identity.accounts.credentials import Scope
from tests.api.conftest import alice, bob, client, world

__all__ = ["alice", "bob", "client", "world"]


@pytest.fixture
def migrated_url(migrated_sqlite):
    return migrated_sqlite


@pytest.fixture
def browser(client):
    client.headers["Accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"
    return client


@pytest.fixture
def sign_in(browser):
    def seat(person):
        browser.cookies.set("mastertape_session", person.token)
        return browser

    return seat


@pytest.fixture
def studio(sign_in, alice):
    return sign_in(alice)


@pytest.fixture
def here(track):
    """The page of the track of a module."""
    return f"/studio/tracks/{track['id']}"


@pytest.fixture
def admin(world, sign_in):
    return sign_in(world.sign_in("admin", lane=False, scope=Scope.ADMIN, expires_in=timedelta(hours=1)))
