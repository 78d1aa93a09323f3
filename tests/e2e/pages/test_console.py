"""The console in Chromium: an outage is seen, understood, redriven and drained; lost records are planned for and repaired."""

from contextlib import closing

import pytest
from playwright.sync_api import expect

from demo.service import Client, Service
from demo.story import COLLECTION
from tests.e2e.conftest import DEEP, environment
from tests.e2e.eventually import eventually
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
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
            eventually(lambda: seen_at(page, service, proxied_pds), seconds=60)
            assert_good_in_every_view(page, "ops-outage")
            page.get_by_role("link", name="Failures", exact=True).click()
            assert_good_in_every_view(page, "ops-causes")
            page.get_by_role("row").get_by_role("link").first.click()
            expect(page.get_by_role("heading", name=proxied_pds.url)).to_be_visible()
            assert_good_in_every_view(page, "ops-cause")

            proxy.accept()
            page.goto(f"{service.url}/ops/lanes?host={proxied_pds.url}")
            assert_good_in_every_view(page, "ops-lanes")
            page.get_by_role("button", name="Resume the host").click()
            page.get_by_label("Why").fill("the PDS is back")
            page.get_by_role("button", name="Resume").click()
            expect(page.get_by_role("heading", name="Resumed: 0")).to_be_visible()
            eventually(lambda: is_well(page, service), seconds=60)
            page.get_by_role("link", name="Audit", exact=True).click()
            expect(page.get_by_text("the PDS is back")).to_be_visible()
            assert_good_in_every_view(page, "ops-audit")
    finally:
        service.stop()


DRIFTED = 50


def test_lost_records_are_planned_for_and_put_back(*, page, console_settings, tmp_path, pds, plc):
    admin, artist = new_account(pds, plc), new_account(pds, plc)
    service = Service(tmp_path, pds, env=console_settings | {"MASTERTAPE_ADMIN_DIDS": admin.did})
    service.start()
    try:
        client = Client(service.url, artist.did, artist.app_password)
        with closing(client.http), silent_console(page):
            uris = [
                client.upload(samples.mp3(600_000 + seed), name="t.mp3", title=f"Take {seed}")[
                    "atproto_record_uri"
                ]
                for seed in range(DRIFTED + 1)
            ]
            rkeys = [uri.rpartition("/")[2] for uri in uris]
            eventually(lambda: found_on(pds, artist, rkeys) == DRIFTED + 1, seconds=60)
            changed = pds.get_record(artist.did, COLLECTION, rkeys[0])["value"]
            for rkey in rkeys:
                pds.delete_record(artist.did, COLLECTION, rkey)

            signs_in_as_admin(page, service, admin)
            page.goto(f"{service.url}/ops/accounts/{artist.did}")
            page.get_by_role("link", name="Repair", exact=True).click()
            assert_good_in_every_view(page, "ops-repairs")
            page.get_by_label("Why").fill("its PDS was restored from a backup")
            page.get_by_role("button", name="Verify and plan").click()
            expect(page.get_by_text(f"{DRIFTED + 1} records would change")).to_be_visible(timeout=30_000)
            assert found_on(pds, artist, rkeys) == 0
            page.get_by_text(f"The first 50 of {DRIFTED + 1} records").click()
            assert_good_in_every_view(page, "ops-repair-planned")

            pds.put_record(artist.did, COLLECTION, rkeys[0], changed | {"title": "by another program"})
            page.get_by_label("Why").fill("as planned")
            page.get_by_role("button", name=f"Apply to {DRIFTED + 1} records").click()
            done = page.get_by_text(f"Done: {DRIFTED} applied, 1 skipped")
            expect(done).to_be_visible(timeout=30_000)
            expect(page.get_by_text("the PDS holds another record than the plan saw")).to_be_visible()
            eventually(lambda: found_on(pds, artist, rkeys) == DRIFTED + 1, seconds=60)
            expect(page.get_by_text("On their way to the PDS")).to_be_hidden(timeout=30_000)
            assert_good_in_every_view(page, "ops-repair-done")
            page.goto(f"{service.url}/ops/audit?type=OperatorActed")
            expect(page.get_by_text("its PDS was restored from a backup")).to_be_visible()
            expect(page.get_by_text("as planned")).to_be_visible()
    finally:
        service.stop()


def found_on(pds, account, rkeys):
    return sum(pds.get_record(account.did, COLLECTION, rkey) is not None for rkey in rkeys)


def seen_at(page, service, pds):
    page.goto(f"{service.url}/ops")
    return page.get_by_role("heading", name=f"{pds.url} does not answer").is_visible()


def is_well(page, service):
    page.goto(f"{service.url}/ops")
    return page.get_by_role("heading", name="All is well").is_visible()
