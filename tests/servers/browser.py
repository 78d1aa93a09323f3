"""A real Chromium without a window."""

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""First the one without windows at all: it starts with half the work."""
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
PATIENCE_SECONDS = 60
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


def chromium() -> str | None:
    """Return the path of Chromium: CHROMIUM, else the one on PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched(playwright: Playwright) -> Generator[Browser]:
    path = chromium()
    assert path, "needs Chromium on the path or in CHROMIUM; `./dev test` leaves this out where there is none"
    # as root, Chromium cannot use its sandbox
    browser = playwright.chromium.launch(
        executable_path=path, args=list(QUIET), chromium_sandbox=os.geteuid() != 0
    )
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Browser]:
    """A browser for the tests of one module: while it runs, no other event loop may run in this thread."""
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
