"""A real Chromium without a window."""

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
PATIENCE_SECONDS = 60


def chromium() -> str | None:
    """Where it is: CHROMIUM, else on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(playwright: Playwright) -> Generator[Browser]:
    """The browser, as long as the block."""
    path = chromium()
    assert path, "needs Chromium on the path or in CHROMIUM; `./dev test` leaves this out where there is none"
    # a sandbox of its own is what Chromium cannot have as root
    browser = playwright.chromium.launch(
        executable_path=path, args=list(QUIET), chromium_sandbox=os.geteuid() != 0
    )
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty page in a browser that remembers nothing.

    The browser goes with the test: as long as it is there, nobody else in this thread may have an event loop.
    """
    with sync_playwright() as playwright, launched(playwright) as browser:
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE_SECONDS * 1000)
        yield opened
