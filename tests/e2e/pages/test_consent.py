"""A consent that is missing, asked for with the button of a page at the consent page of the real PDS."""

from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from demo.service import Service
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.sign_in_pages import authorizes, signs_in, types_the_password
from tests.media_samples import samples

pytestmark = [pytest.mark.pds, pytest.mark.browser]
TRACKS_ALONE = "atproto repo:fm.plyr.track blob:audio/* blob:image/*"


def test_a_login_that_does_not_allow_likes_is_replaced_by_one_that_does_and_by_no_smaller_one(
    page, pds, pds_account, tmp_path
):
    with ExitStack() as stack:
        url = starts(stack, tmp_path, pds, {"MASTERTAPE_OAUTH_SCOPE": TRACKS_ALONE})
        signs_in(page, url, pds_account)
        authorizes(page)
        page.wait_for_url(f"{url}/studio")
    with ExitStack() as stack, silent_console(page):
        url = starts(stack, tmp_path, pds, {})
        track = uploads(page, url)
        page.goto(f"{url}/@{pds_account.handle}/{track['id']}")
        page.get_by_role("button", name="Like", exact=True).click()
        page.goto(f"{url}/studio/likes")
        expect(page.locator("#consent")).to_contain_text("Your login does not allow records of this kind yet")
        assert_good_in_every_view(page, "likes-need-consent")
        asks_for_consent(page, url)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("alert")).to_contain_text("You declined at your PDS")
        page.goto(f"{url}/studio/tracks/{track['id']}")
        page.get_by_label("Title").fill("Goes on")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#done")).to_contain_text("Saved. Your PDS has it as it is here.")

        page.goto(f"{url}/studio/pds")
        assert_good_in_every_view(page, "pds-needs-consent")
        asks_for_consent(page, url)
        types_the_password(page, pds_account)
        authorizes(page)
        page.wait_for_url(f"{url}/studio/pds")
        page.goto(f"{url}/studio/likes")
        expect(page.locator(".row-mark")).to_contain_text("On your PDS")
        expect(page.locator("#consent")).to_be_hidden()


def starts(stack, folder, pds, env):
    service = Service(folder / "mastertape", pds, env=env)
    stack.callback(service.stop)
    service.start()
    return service.url


def uploads(page, url):
    sound = {"name": "a.mp3", "mimeType": "audio/mpeg", "buffer": samples.mp3(77)}
    answer = page.context.request.post(
        f"{url}/tracks", multipart={"title": "First Take", "file": sound}, headers={"Origin": url}
    )
    assert answer.status == 201, answer.text()
    return answer.json()


def asks_for_consent(page, url):
    """Press the button, and go as far as the page of the PDS."""
    page.get_by_role("button", name="Sign in again").click()
    page.wait_for_url(lambda at: not at.startswith(url))
