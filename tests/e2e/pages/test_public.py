"""The pages for everyone in Chromium, on the real service and PDS."""

import re
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from demo.media import cover, tone
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_acts import another
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.pages.keyboard import tabs_to
from tests.media_samples import samples
from tests.waits import until
from web.rendering import page_headers

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]
COPIES = "https://cdn.example/bucket/public"


@pytest.fixture
def track(artist):
    made = artist.uploads(title="First Take", album="Pressings", tags='["late night"]')
    artist.client.set_artwork(made["id"], cover("teal", "gold"))
    artist.agreed()
    return artist.client.track(made["id"])


@pytest.fixture
def gated(artist):
    return artist.client.upload(tone(330), title="For Friends", support_gate='{"type": "any"}')


def test_the_public_pages_are_good_in_every_view(page, service, track, gated, listener):
    here = f"{service.url}/@{track['artist_handle']}"
    with silent_console(page):
        for name, address in {
            "home": service.url,
            "artist": here,
            "track": f"{here}/{track['id']}",
            "gated": f"{here}/{gated['id']}",
            "embed": f"{service.url}/embed/tracks/{track['id']}",
            "tag": f"{service.url}/tags/late%20night",
            "search": f"{service.url}/search?q=take",
            "artist-empty": f"{service.url}/@{listener.did}",
            "download-refused": f"{service.url}/audio/{gated['file_id']}.{gated['file_type']}/download",
            "sign-in": f"{service.url}/auth/login",
            "sign-in-refused": f"{service.url}/auth/login?handle=no.account&page=true",
            "docs": f"{service.url}/docs",
            "docs-tracks": f"{service.url}/docs/tracks",
            "docs-errors": f"{service.url}/docs/errors",
        }.items():
            page.goto(address)
            assert_good_in_every_view(page, name)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy").first.click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()").startswith('{"detail"')


def services_of(service, public_url=None):
    return SimpleNamespace(
        base_url=service.url, urls=SimpleNamespace(public_url=public_url), sweep_grace=timedelta(days=30)
    )


def fulfil(answer, route):
    route.fulfill(**answer)


def test_a_visitor_hears_a_track_and_sees_the_record_on_the_pds(page, service, track, artist):
    here = f"{service.url}/@{artist.did}/{track['id']}"
    with silent_console(page):
        page.goto(here)
        hears(page)
        expect(page.get_by_text("On the artist's PDS")).to_be_visible()
        record = page.context.request.get(page.get_by_text("The record at").get_attribute("href"))
        assert record.json()["value"]["title"] == "First Take"
        page.route(f"{COPIES}/*", partial(fulfil, {"body": samples.mp3(), "content_type": "audio/mpeg"}))
        page.route(here, partial(with_public_copies, service))
        page.goto(here)
        expect(page.locator("main audio")).to_have_attribute("src", re.compile(f"^{COPIES}/"))
        hears(page)


def hears(page):
    player = page.locator("main audio")
    until(lambda: player.evaluate("audio => audio.readyState") >= 1)
    player.evaluate("audio => { audio.muted = true; audio.currentTime = 0.5; return audio.play(); }")
    until(lambda: player.evaluate("audio => audio.currentTime") > 0.5)


def with_public_copies(service, route):
    """Show the page as with S3_PUBLIC_URL."""
    answer = route.fetch()
    policy = {name.lower(): value for name, value in page_headers(services_of(service, COPIES)).items()}
    page = answer.text().replace(f"{service.url}/audio/", f"{COPIES}/")
    route.fulfill(response=answer, headers=answer.headers | policy, body=page)


def test_a_link_is_copied_with_the_keyboard_alone_on_a_phone(page, service, track):
    here = f"{service.url}/@{track['artist_handle']}/{track['id']}"
    page.set_viewport_size({"width": 390, "height": 700})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with silent_console(page):
        page.goto(here)
        tabs_to(page, page.locator(".share > summary"))
        page.keyboard.press("Enter")
        tabs_to(page, page.locator(".share .copy").first)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Copied")).to_be_focused()
        assert page.evaluate("navigator.clipboard.readText()") == here
        assert_good_in_every_view(page, "track-shared")


def test_without_scripts_a_visitor_searches_and_sees_the_link_to_share(page, service, track):
    bare = another(page, java_script_enabled=False)
    bare.goto(service.url)
    bare.get_by_role("searchbox", name="Search").fill(track["artist_handle"])
    bare.get_by_role("searchbox", name="Search").press("Enter")
    bare.get_by_role("heading", name="Artists").locator("..").get_by_role("link").first.click()
    bare.get_by_role("link", name="First Take").click()
    bare.locator(".share > summary").click()
    link = f"{service.url}/@{track['artist_handle']}/{track['id']}"
    expect(bare.get_by_label("Link", exact=True)).to_have_text(link)
