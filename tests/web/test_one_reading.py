"""A page reads what it shows as one request: its viewer is authenticated and counted once."""

import pytest

from tests.api.world import upload

PAGES = ("/", "/@alice.test", "/@alice.test/{track}", "/studio", "/studio/tracks/{track}", "/studio/pds")
SCREENS = ("/ops", "/ops/lanes", "/ops/tracks/{track}", "/ops/accounts/{did}")


@pytest.fixture
def authenticated(world, monkeypatch):
    """The tokens that were authenticated."""
    tokens = []
    authenticate = world.services.credentials.authenticate

    def noted(token):
        tokens.append(token)
        return authenticate(token)

    monkeypatch.setattr(world.services.credentials, "authenticate", noted)
    return tokens


@pytest.mark.parametrize("page", PAGES)
def test_a_page_authenticates_its_viewer_once(sign_in, alice, authenticated, page):
    browser = sign_in(alice)
    track = upload(browser, alice)
    authenticated.clear()
    assert browser.get(page.format(track=track["id"])).status_code == 200
    assert len(authenticated) == 1


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_of_the_console_authenticates_its_operator_once(admin, alice, client, authenticated, screen):
    track = upload(client, alice)
    authenticated.clear()
    assert admin.get(screen.format(track=track["id"], did=alice.did)).status_code == 200
    assert len(authenticated) == 1
