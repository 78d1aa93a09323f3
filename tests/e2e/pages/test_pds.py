"""My PDS in Chromium, on the real service and PDS: from the sign-in to leaving."""

import pytest
from playwright.sync_api import expect

from tests.dsl import COLLECTION
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.foreign_catalogue import catalogue, rkey
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.sign_in_pages import authorizes, signs_in
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]


def test_an_artist_takes_over_compares_copies_and_leaves(*, page, service, pds, pds_account):
    catalogue(pds, pds_account.did, 3)
    signs_in(page, service.url, pds_account)
    authorizes(page)
    page.wait_for_url(f"{service.url}/studio")
    with silent_console(page):
        page.goto(f"{service.url}/studio/pds")
        expect(page.get_by_role("heading", name="Your records reach your PDS.")).to_be_visible()

        page.get_by_role("button", name="Look for records").click()
        expect(page.get_by_text("3 found, 3 taken over")).to_be_visible()

        page.get_by_role("button", name="Compare now").click()
        expect(page.get_by_role("heading", name="Everything agrees")).to_be_visible()
        assert_good_in_every_view(page, "pds-agrees")
        pds.delete_record(pds_account.did, COLLECTION, rkey(1))
        page.get_by_role("link", name="Back to My PDS").click()
        page.get_by_role("button", name="Compare now").click()
        expect(page.get_by_role("heading", name="1 record differs")).to_be_visible()
        assert_good_in_every_view(page, "pds-differs")

        page.goto(f"{service.url}/studio/pds")
        page.get_by_text("Make a token for a program").click()
        page.get_by_label("Name", exact=False).last.fill("my script")
        page.get_by_role("button", name="Make the token").click()
        expect(page.get_by_role("heading", name="The token for my script")).to_be_visible()
        assert_good_in_every_view(page, "pds-token")
        page.get_by_role("link", name="Done").click()
        assert_good_in_every_view(page, "pds-full")

        page.get_by_role("link", name="Leave…").click()
        assert_good_in_every_view(page, "pds-leave")
        page.get_by_label("Type your handle").fill(pds_account.handle)
        pds.stop()
        with page.expect_navigation():  # going elsewhere before would cancel the request
            page.get_by_role("button", name="Leave, and remove my records").click()
        assert_good_in_every_view(page, "pds-leaving")
        pds.start()
        again = "fetch('/me', {method: 'DELETE'}).then(answer => answer.status)"
        until(lambda: page.evaluate(again) == 401)  # a repeated request goes on at once with what is left
        page.goto(f"{service.url}/studio/pds")
        assert "/auth/login" in page.url
