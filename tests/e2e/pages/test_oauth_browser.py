"""The sign-in in Chromium: the service's page, the consent page of the real PDS, and back."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.sign_in_pages import are_signed_in, authorizes, signs_in

pytestmark = [
    pytest.mark.pds,
    pytest.mark.browser,
    ONE_DATABASE,
]


def test_a_person_signs_in_and_out(page, service, pds, pds_account):
    signs_in(page, service.url, pds_account)
    assert page.url.startswith(f"{pds.url}/oauth/authorize"), (
        "the password is typed at the PDS and nowhere else"
    )
    expect(page.get_by_text("Publish changes")).to_be_visible()
    authorizes(page)
    page.wait_for_url(f"{service.url}/studio")
    (cookie,) = page.context.cookies(service.url)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("mastertape_session", True, "Lax")
    out = page.context.request.post(f"{service.url}/auth/logout", headers={"Origin": service.url})
    assert out.status == 200
    assert page.context.cookies(service.url) == []
    assert page.goto(f"{service.url}/me").status == 401


def test_a_link_in_what_an_artist_writes_starts_no_sign_in_until_its_reader_does(
    page, service, pds, artist, pds_account
):
    (handle,) = are_signed_in(page.context, service.url, artist.client)
    page.goto(f"{service.url}/@{handle}")
    link = f"/auth/login?handle={pds_account.handle}&return_to=/studio/upload"
    page.evaluate(
        "link => document.querySelector('main').append(Object.assign(document.createElement('a'), {href: link, textContent: 'Lyrics'}))",
        link,
    )
    page.get_by_role("link", name="Lyrics").click()
    expect(page.get_by_text("A link has filled in the handle")).to_be_visible()
    expect(page.get_by_label("Handle or DID")).to_have_value(pds_account.handle)
    assert page.evaluate("fetch('/me').then(answer => answer.json()).then(me => me.handle)") == handle
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(re.escape(f"{pds.url}/oauth/authorize")))
