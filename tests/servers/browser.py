"""A real Chromium without a window."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright, expect

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
