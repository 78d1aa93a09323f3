"""The service in this process, with its pages."""

from datetime import timedelta

import pytest

from identity.accounts.credentials import Scope
from tests.api.client import TestClient
from tests.api.conftest import alice, bob, client, world
from tests.web.pages import AS_BROWSERS, assert_runs_only_our_files, seated

__all__ = ["alice", "bob", "client", "world"]


@pytest.fixture
def migrated_url(migrated_sqlite):
    return migrated_sqlite


def _looks_at(answer):
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    if is_page and not answer.url.path.startswith("/embed/"):
        answer.read()
        assert_runs_only_our_files(answer)


@pytest.fixture
def browser(world):
    """A browser, beside the client of programs. Each page that a test reads with it runs our files alone, whatever it shows."""
    browser = TestClient(world.app, raise_server_exceptions=False, headers=AS_BROWSERS)
    browser.event_hooks["response"].append(_looks_at)
    return browser


@pytest.fixture
def sign_in(browser):
    return lambda person: seated(browser, person)


@pytest.fixture
def studio(sign_in, alice):
    return sign_in(alice)


@pytest.fixture
def here(track):
    """The page of the track of a module."""
    return f"/studio/tracks/{track['id']}"


@pytest.fixture
def looks_only(world, sign_in):
    """Signs an operator in who is no admin."""
    return lambda: sign_in(world.sign_in("operator", scope=Scope.OPERATOR))


@pytest.fixture
def admin(world, sign_in):
    return sign_in(world.sign_in("admin", lane=False, scope=Scope.ADMIN, expires_in=timedelta(hours=1)))
