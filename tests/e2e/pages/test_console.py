"""The console in Chromium while a PDS is away: seen, understood, redriven, drained."""

from contextlib import closing

import pytest
from playwright.sync_api import expect

from demo.service import Client, Service
from tests.e2e.conftest import DEEP, environment
from tests.e2e.eventually import eventually
from tests.e2e.pages.browser_checks import assert_good_in_every_view, evaluate, silent_console
from tests.e2e.sign_in_pages import authorizes
from tests.media_samples import samples
from tests.servers.atproto import new_account

pytestmark = [pytest.mark.pds, pytest.mark.browser]
RECORDS = 300 if DEEP else 12


@pytest.fixture(params=["sqlite"])
def console_settings(request, tmp_path, pds, proxied_pds):
    with environment(request, tmp_path, pds, proxied_pds) as found:
        yield found


def signs_in_as_admin(page, service, account):
    page.goto(f"{service.url}/auth/login?scope=admin&return_to=/ops")
    page.get_by_label("Handle or DID").fill(account.handle)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: not url.startswith(service.url))
    password = page.locator("input[type=password]")
    password.fill(account.password)
    password.press("Enter")
    expect(page.get_by_text(account.handle)).to_be_visible()
    authorizes(page)
    page.wait_for_url(f"{service.url}/ops")


def test_an_outage_is_seen_understood_redriven_and_drained(
    *, page, console_settings, tmp_path, pds, plc, proxied_pds, proxy
):
    admin, artist = new_account(pds, plc), new_account(proxied_pds, plc)
    service = Service(tmp_path, pds, env=console_settings | {"MASTERTAPE_ADMIN_DIDS": admin.did})
    service.start()
    try:
        client = Client(service.url, artist.did, artist.app_password)
        with closing(client.http), silent_console(page):
            signs_in_as_admin(page, service, admin)
            expect(page.get_by_role("heading", name="All is well")).to_be_visible()
            assert_good_in_every_view(page, "ops-well")

            proxy.refuse()
            for seed in range(RECORDS):
                client.upload(samples.mp3(500_000 + seed), name="tone.mp3", title=f"Take {seed}")
            # what is typed meanwhile shows that the page changes without being loaded
            page.get_by_role("searchbox").fill("half a word")
            away = page.get_by_role("heading", name=f"{proxied_pds.url} does not answer")
            expect(away).to_be_visible(timeout=60_000)
            expect(page.get_by_role("searchbox")).to_have_value("half a word")
            assert_good_in_every_view(page, "ops-outage")
            page.get_by_role("link", name="Failures", exact=True).click()
            assert_good_in_every_view(page, "ops-causes")
            page.get_by_role("row").get_by_role("link").first.click()
            expect(page.get_by_role("heading", name=proxied_pds.url)).to_be_visible()
            assert_good_in_every_view(page, "ops-cause")
            page.goto(f"{service.url}/ops/lanes?host={proxied_pds.url}")
            page.get_by_role("link", name=artist.did).click()
            expect(page.get_by_role("heading", name="The PDS does not answer")).to_be_visible()
            assert_good_in_every_view(page, "ops-lane")

            proxy.accept()
            page.goto(f"{service.url}/ops/lanes?host={proxied_pds.url}")
            assert_good_in_every_view(page, "ops-lanes")
            page.get_by_role("button", name="Resume the host").click()
            page.get_by_label("Why").fill("the PDS is back")
            page.get_by_role("button", name="Resume").click()
            expect(page.get_by_role("heading", name="Resumed: 0")).to_be_visible()
            back = page.get_by_role("link", name="Back")
            back.focus()
            expect(page.get_by_text("Nothing waits for them any more")).to_be_visible(timeout=60_000)
            expect(back).to_be_focused()
            assert_good_in_every_view(page, "ops-progress")
            eventually(lambda: is_well(page, service), seconds=60)
            page.goto(f"{service.url}/ops/hosts")
            assert_good_in_every_view(page, "ops-hosts")
            page.goto(f"{service.url}/ops/accounts/{artist.did}")
            assert_good_in_every_view(page, "ops-account")
            page.get_by_role("link", name="Audit", exact=True).click()
            expect(page.get_by_text("the PDS is back")).to_be_visible()
            assert_good_in_every_view(page, "ops-audit")
            assert_is_read_only_while_shown(page, f"{service.url}/ops/audit")
    finally:
        service.stop()


def assert_is_read_only_while_shown(page, url):
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.isAway === true})")
    page.clock.install()
    page.goto(url)
    reads = []
    page.on("request", lambda request: reads.append(request.url))
    evaluate(page, "window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(60_000)
    assert reads == []
    evaluate(page, "window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_request(url):
        page.clock.run_for(5_000)


def is_well(page, service):
    page.goto(f"{service.url}/ops")
    return page.get_by_role("heading", name="All is well").is_visible()
