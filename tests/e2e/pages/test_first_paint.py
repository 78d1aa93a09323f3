"""How soon a page shows something over a slow network, as Chromium measures it on a machine that does nothing else."""

import os

import pytest

from demo.media import cover
from tests.e2e.conftest import ONE_DATABASE

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_DEEP"), reason="measures time: ./dev test --deep"),
    pytest.mark.pds,
    pytest.mark.browser,
    ONE_DATABASE,
]
SLOW = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
MAX_FIRST_PAINT_MS = 1500
TRIES = 3
"""The best counts: the network is the same in each, and what else the machine does is not."""
FIRST_PAINT = """() => new Promise(done => new PerformanceObserver(seen => {
  for (const each of seen.getEntriesByName("first-contentful-paint")) done(each.startTime);
}).observe({ type: "paint", buffered: true }))"""


@pytest.fixture
def addresses(artist):
    track = artist.uploads(title="First Take", tags='["late night"]')
    artist.client.set_artwork(track["id"], cover("teal", "gold"))
    artist.agreed()
    here = f"/@{track['artist_handle']}"
    made = artist.client.http.post("/albums", json={"title": "Pressings"})
    made.raise_for_status()
    return (
        *("/", here, f"{here}/{track['id']}", f"{here}/albums/{made.json()['slug']}"),
        *("/tags/late%20night", "/search?q=take", "/auth/login", "/docs", "/docs/tracks", "/nowhere"),
    )


def first_paint(browser, address):
    """The milliseconds of one try, with nothing cached."""
    context = browser.new_context()
    try:
        page = context.new_page()
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
        page.goto(address, wait_until="commit")
        return page.evaluate(FIRST_PAINT)
    finally:
        context.close()


def test_a_page_shows_something_within_1_5_seconds_over_a_slow_network(page, service, addresses):
    found = {}
    for address in addresses:
        tries = (first_paint(page.context.browser, service.url + address) for _ in range(TRIES))
        found[address] = next((each for each in tries if each <= MAX_FIRST_PAINT_MS), None)
    assert None not in found.values(), found
