"""The API reference in Chromium, on the real service: each group of its routes, with all that a reader can open."""

import pytest

from tests.e2e.conftest import DEEP
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.servers.databases import KINDS

GROUPS = (
    "tracks",
    "artists",
    "account",
    "records",
    "mirror",
    "history",
    "media",
    "operations",
    "sign-in",
    "health",
    "errors",
)
pytestmark = [
    pytest.mark.pds,
    pytest.mark.browser,
    pytest.mark.skipif(not DEEP, reason="half a minute for all groups: ./dev test --deep"),
    pytest.mark.parametrize("settings", KINDS[:1], indirect=True, scope="session"),
]


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_of_the_reference_is_good_in_every_view(page, service, group):
    with silent_console(page):
        page.goto(f"{service.url}/docs/{group}")
        listed = page.get_by_role("navigation", name="API").get_by_role("link").all()
        assert [link.get_attribute("href") for link in listed] == [
            "/docs",
            *(f"/docs/{each}" for each in GROUPS),
        ]
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert_good_in_every_view(page, f"docs-{group}")
