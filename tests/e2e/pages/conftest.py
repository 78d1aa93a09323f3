"""Chromium, and who is signed in there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.artist import Artist
from tests.e2e.conftest import NewArtist
from tests.e2e.pages.browser_checks import silent_console
from tests.e2e.sign_in_pages import are_signed_in
from tests.servers.browser import PATIENCE_SECONDS, launched


@pytest.fixture(scope="package")
def chromium_browser() -> Iterator[Browser]:
    """A browser for all tests here: while it runs, no other event loop may run in this thread."""
    with sync_playwright() as playwright, launched(playwright) as browser:
        yield browser


@pytest.fixture
def page(chromium_browser: Browser) -> Iterator[Page]:
    """An empty page in a profile of its own."""
    opened = chromium_browser.new_page()
    opened.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield opened
    for context in chromium_browser.contexts:
        context.close()


@pytest.fixture
def seated(page: Page, service: Service, artist: Artist) -> Iterator[Page]:
    """The page of a browser in which the artist is signed in."""
    are_signed_in(page.context, service.url, artist.client)
    with silent_console(page):
        yield page


@pytest.fixture
def listener(new_artist: NewArtist, pds: DevPds) -> Artist:
    return new_artist(pds)
