"""The console in Chromium: an outage and a repair."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from demo.service import Client
from demo.story import COLLECTION
from tests.e2e.conftest import DEEP, environment
from tests.e2e.pages.browser_checks import (
    assert_good_in_every_view,
    can_be_hidden,
    hides,
    shows,
    silent_console,
)
from tests.e2e.sign_in_pages import authorizes, signs_in
from tests.media_samples import samples
from tests.servers.atproto import new_account
from tests.servers.preloaded import Service
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser]
RECORDS = 300 if DEEP else 4
DRIFTED = 2


class Console:
    """The service and its admin, who signs in once."""

    def __init__(self, service, pds, plc, admin):
        self.url = service.url
        self._pds, self._plc, self._admin, self._cookies = pds, plc, admin, []

    def opens(self, page):
        page.context.add_cookies(self._cookies)
        if not self._cookies:
            signs_in(page, self.url, self._admin, "?scope=admin&return_to=/ops")
            authorizes(page)
            page.wait_for_url(f"{self.url}/ops")
            self._cookies = page.context.cookies(self.url)
        page.goto(f"{self.url}/ops")
        expect(page.get_by_role("navigation", name="Console")).to_be_visible()

    def artist(self, pds=None):
        account = new_account(pds or self._pds, self._plc)
        return Client(self.url, account.did, account.app_password)


@pytest.fixture(scope="module", params=["sqlite"])
def console(request, tmp_path_factory, pds, plc, proxied_pds):
    admin = new_account(pds, plc)
    with environment(request, tmp_path_factory.mktemp("console"), pds, proxied_pds) as settings:
        service = Service(
            Path(settings["MASTERTAPE_DATA"]), pds, env=settings | {"MASTERTAPE_ADMIN_DIDS": admin.did}
        )
        service.start()
        yield Console(service, pds, plc, admin)
        service.stop()


def uploads(client, seed, title="First Take"):
    return client.upload(samples.mp3(500_000 + seed), name="tone.mp3", title=title)


@pytest.mark.timeout(900)  # eighteen screens in every view: two minutes on a slow machine
def test_an_outage_is_seen_understood_redriven_and_drained(page, console, proxied_pds, proxy):
    client = console.artist(proxied_pds)
    with closing(client.http), silent_console(page):
        console.opens(page)
        expect(page.get_by_role("heading", name="All is well")).to_be_visible()
        assert_good_in_every_view(page, "ops-well")

        proxy.refuse()
        for seed in range(RECORDS):
            track = uploads(client, seed, f"Take {seed}")
        did = track["artist_did"]
        sees_the_outage(page, proxied_pds)
        understands_it(page, console, proxied_pds, did)
        sees_what_waits(page, console, proxied_pds)

        tries_the_host_again(page, console, proxied_pds, proxy)
        screens = {
            "ops-hosts": "/ops/hosts",
            "ops-account": f"/ops/accounts/{did}",
            "ops-track": f"/ops/tracks/{track['id']}",
            "ops-found": "/ops/find?q=Take",
        }
        for name, address in screens.items():
            page.goto(console.url + address)
            assert_good_in_every_view(page, name)
        page.get_by_role("link", name="Deliveries", exact=True).click()
        counted = page.get_by_text(f"in the last week, by the hour: {RECORDS}")
        expect(counted).to_be_visible(timeout=60_000)  # a process stores what it has counted now and then
        assert_good_in_every_view(page, "ops-deliveries")
        page.get_by_role("link", name="Audit", exact=True).click()
        expect(page.get_by_text("the PDS is back")).to_be_visible()
        assert_good_in_every_view(page, "ops-audit")
        assert_is_read_only_while_shown(page, f"{console.url}/ops/audit")


def sees_the_outage(page, pds):
    """Without loading the page again: what is typed meanwhile stays."""
    page.get_by_role("searchbox").fill("half a word")
    expect(page.get_by_role("heading", name=f"{pds.url} does not answer")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(f"{RECORDS} waiting")).to_be_visible(timeout=60_000)
    expect(page).to_have_title("⚠ Now · mastertape")
    expect(page.locator("link#icon")).to_have_attribute("href", re.compile("trouble"))
    expect(page.locator("#now .lead")).to_have_text(re.compile("^Since "))
    expect(page.get_by_role("searchbox")).to_have_value("half a word")
    assert_good_in_every_view(page, "ops-outage")


def understands_it(page, console, pds, did):
    page.get_by_role("link", name="Failures", exact=True).click()
    assert_good_in_every_view(page, "ops-causes")
    page.get_by_role("row").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name=pds.url)).to_be_visible()
    expect(page.get_by_text("no answer").first).to_be_visible()
    assert_good_in_every_view(page, "ops-cause")
    page.goto(f"{console.url}/ops/lanes?host={pds.url}")
    assert_good_in_every_view(page, "ops-lanes")
    page.get_by_role("link", name=did).click()
    expect(page.get_by_role("heading", name="The PDS does not answer")).to_be_visible()
    assert_good_in_every_view(page, "ops-lane")
    page.get_by_role("link", name="Background work", exact=True).click()
    expect(page.get_by_role("heading", name="All background work goes on")).to_be_visible()
    assert_good_in_every_view(page, "ops-work")
    page.get_by_role("listitem").filter(has_text="Periodic").get_by_role("link").first.click()
    expect(page.get_by_role("row").filter(has_text="scan_records")).to_be_visible()
    assert_good_in_every_view(page, "ops-jobs")


def sees_what_waits(page, console, pds):
    page.goto(f"{console.url}/ops/records?host={pds.url}")
    expect(page.get_by_role("cell", name="On its way")).to_have_count(min(RECORDS, 50))
    assert_good_in_every_view(page, "ops-records")
    box = page.get_by_role("checkbox").first
    box.check()
    with page.expect_response(page.url):
        pass  # the screen has read itself again
    expect(box).to_be_checked()
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(page.get_by_role("heading", name="Redrive 1 record?")).to_be_visible()
    page.goto(f"{console.url}/ops/hit?host={pds.url}")
    expect(page.get_by_role("heading", name="Who is hit")).to_be_visible()
    assert_good_in_every_view(page, "ops-hit")


def tries_the_host_again(page, console, pds, proxy):
    page.goto(f"{console.url}/ops/lanes?host={pds.url}")
    page.get_by_role("region", name="Its state").get_by_role("button", name="Try again now").click()
    expect(page.get_by_role("heading", name="Try 1 account again now?")).to_be_visible()
    assert_good_in_every_view(page, "ops-confirm")
    page.get_by_label("Why").fill("the PDS is back")
    proxy.accept()
    page.get_by_role("button", name="Try 1 account again now").click()
    expect(page.get_by_role("heading", name=re.compile("Tried at once|Nothing to do"))).to_be_visible()
    back = page.get_by_role("link", name="Back", exact=True)
    back.focus()
    is_sent = re.compile("Nothing is left that can be sent now|Nothing waits that could be sent now")
    expect(page.get_by_text(is_sent)).to_be_visible(timeout=60_000)
    expect(back).to_be_focused()
    assert_good_in_every_view(page, "ops-progress")
    until(lambda: is_well(page, console), within=60)


def assert_is_read_only_while_shown(page, url):
    can_be_hidden(page)
    page.clock.install()
    page.goto(url)
    reads = []
    page.on("request", lambda request: reads.append(request.url))
    hides(page)
    page.clock.run_for(60_000)
    assert [read for read in reads if "/static/" not in read] == []
    with page.expect_request(url):
        shows(page)
        page.clock.run_for(5_000)


def is_well(page, console):
    page.goto(f"{console.url}/ops")
    return page.get_by_role("heading", name="All is well").is_visible()


def test_lost_records_are_planned_for_and_put_back(page, console, pds):
    client = console.artist()
    with closing(client.http), silent_console(page):
        tracks = [uploads(client, 100_000 + seed, f"Take {seed}") for seed in range(DRIFTED + 1)]
        did = tracks[0]["artist_did"]
        rkeys = [track["atproto_record_uri"].rpartition("/")[2] for track in tracks]
        until(lambda: found_on(pds, did, rkeys) == DRIFTED + 1, within=60)
        changed = pds.get_record(did, COLLECTION, rkeys[0])["value"]
        for rkey in rkeys:
            pds.delete_record(did, COLLECTION, rkey)

        console.opens(page)
        page.goto(f"{console.url}/ops/tracks/{tracks[0]['id']}/record")
        expect(page.get_by_role("heading", name="The record, three times")).to_be_visible()
        expect(page.get_by_text("(differs)").first).to_be_attached()
        assert_good_in_every_view(page, "ops-record-lost")
        page.goto(f"{console.url}/ops/accounts/{did}")
        sees_what_is_asked(page, "End all", "End 1 session or token?", "ops-end-tokens")
        page.get_by_role("link", name="Repair", exact=True).click()
        assert_good_in_every_view(page, "ops-repairs")
        page.get_by_label("Why").fill("its PDS was restored from a backup")
        page.get_by_role("button", name="Compare and list").click()
        expect(page.get_by_text(f"{DRIFTED + 1} records would change")).to_be_visible(timeout=30_000)
        assert found_on(pds, did, rkeys) == 0
        page.locator("summary", has_text="Its records").click()
        assert_good_in_every_view(page, "ops-repair-planned")
        sees_what_is_asked(page, "Cancel the repair", "Cancel repair", "ops-repair-cancel")

        pds.put_record(did, COLLECTION, rkeys[0], changed | {"title": "by another program"})
        page.get_by_label("Why").fill("as planned")
        page.get_by_role("button", name=f"Apply to {DRIFTED + 1} records").click()
        expect(page.get_by_text(f"Done: {DRIFTED} applied, 1 skipped")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("the PDS holds another record than the plan saw")).to_be_visible()
        until(lambda: found_on(pds, did, rkeys) == DRIFTED + 1, within=60)
        expect(page.get_by_text("On their way to the PDS")).to_be_hidden(timeout=30_000)
        assert_good_in_every_view(page, "ops-repair-done")
        page.goto(f"{console.url}/ops/audit?type=OperatorActed")
        expect(page.get_by_text("its PDS was restored from a backup")).to_be_visible()
        expect(page.get_by_text("as planned")).to_be_visible()


def sees_what_is_asked(page, button, heading, name):
    page.get_by_role("button", name=button).click()
    question = page.get_by_role("heading", name=heading)
    expect(question).to_be_visible()
    assert_good_in_every_view(page, name)
    page.get_by_role("link", name="Back", exact=True).click()
    expect(question).to_be_hidden()


def found_on(pds, did, rkeys):
    return sum(pds.get_record(did, COLLECTION, rkey) is not None for rkey in rkeys)
