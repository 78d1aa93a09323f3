"""The service in this process, with its pages."""

from datetime import timedelta

import pytest

from identity.accounts.credentials import CredentialKind, Scope
from tests.api.conftest import ADMIN, alice, bob, client, world
from tests.fake_pds.scripted_pds import HOST
from web.pages.studio import record, track

__all__ = ["alice", "bob", "client", "world"]


@pytest.fixture
def migrated_url(migrated_sqlite):
    return migrated_sqlite


@pytest.fixture(autouse=True)
def _no_wait_for_a_relay(monkeypatch):
    """The relay of these tests runs when they say so: a page would wait for it in vain."""
    for page in (record, track):
        monkeypatch.setattr(page, "WAIT_SECONDS", 0)


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
def admin(world, sign_in):
    with world.database.write() as connection:
        world.services.accounts.upsert(
            connection, did=ADMIN, handle="admin.test", pds_url=HOST, display_name="Admin"
        )
        issued = world.services.credentials.issue(
            connection,
            did=ADMIN,
            kind=CredentialKind.BROWSER,
            name="t",
            scope=Scope.ADMIN,
            expires_in=timedelta(hours=1),
        )
    return sign_in(type("Person", (), {"token": issued.token.get_secret_value()}))
